"""`get_runtime_context`: what a driver, task or actor can ask about itself."""

from __future__ import annotations

import os

from iosdk import _core, _session
from iosdk._not_yet import OTHERS, not_yet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


class RuntimeContext:
    """Where the calling code runs. Ids are hex; what does not apply is None."""

    def get_job_id(self) -> str:
        """The job: a driver and all it started."""
        return str(_core.task_context()["job_id"])

    def get_node_id(self) -> str:
        """The node this process is on."""
        return str(_core.task_context()["node_id"])

    def get_worker_id(self) -> str:
        """This process."""
        return str(_core.task_context()["worker_id"])

    def get_task_id(self) -> str | None:
        """The task or method call that runs; None in a driver."""
        return _core.task_context()["task_id"]  # type: ignore[no-any-return]

    def get_task_name(self) -> str | None:
        """Name of the task, `Class.method` in actors; None in a driver."""
        return _core.task_context()["task_name"]  # type: ignore[no-any-return]

    def get_task_function_name(self) -> str | None:
        """Module and qualified name of the function that runs; None in a driver."""
        name: str | None = _core.task_context()["function_name"]
        if name is None:
            return None
        from iosdk._worker import renamed

        return renamed.get(name, name)

    def get_actor_id(self) -> str | None:
        """The actor that this process is; None elsewhere."""
        return _core.task_context()["actor_id"]  # type: ignore[no-any-return]

    def get_actor_name(self) -> str | None:
        """Name of the actor: "", since actors cannot have one yet; None outside actors."""
        return "" if self.get_actor_id() is not None else None

    def get_placement_group_id(self) -> None:
        """The placement group of the task: always None."""

    def get_assigned_resources(self) -> dict[str, float]:
        """What the task or actor holds. Raises `AssertionError` in a driver."""
        context = _core.task_context()
        assert context["task_id"] is not None, "get_assigned_resources() is for tasks and actors, not for the driver"
        return dict(context["resources"])

    def get_session_name(self) -> str:
        """Name of the session."""
        return str(_session.welcome().get("session", ""))

    def get_temp_dir(self) -> str:
        """Folder that holds the session's folder."""
        return os.path.dirname(str(_session.welcome().get("session_dir", "")))

    def get_node_labels(self) -> dict[str, str]:
        """Labels of the node."""
        return {"ray.io/node-id": self.get_node_id()}

    @property
    def namespace(self) -> str:
        """The driver's namespace."""
        return _session.namespace()

    @property
    def gcs_address(self) -> str:
        """Address of the cluster's head; a private cluster has none that others could use."""
        return str(_session.welcome().get("address", ""))

    @property
    def was_current_actor_reconstructed(self) -> bool:
        """Whether the actor was restarted: never, since actors are not restarted yet. `AssertionError` outside
        actors."""
        assert self.get_actor_id() is not None, "was_current_actor_reconstructed is for actors"
        return False

    @property
    def current_actor(self) -> NoReturn:
        """A handle of the actor that runs this. Not there yet; `RuntimeError` outside actors."""
        if self.get_actor_id() is None:
            raise RuntimeError("current_actor is for actors: this process is none")
        raise not_yet("get_runtime_context().current_actor", OTHERS["current_actor"])

    def get(self) -> dict[str, Any]:
        """Ids as a dict. Deprecated in favour of the methods."""
        _deprecated("get()", "the get_...() methods")
        context = {"job_id": self.get_job_id(), "node_id": self.get_node_id(), "namespace": self.namespace}
        for name in ("task_id", "actor_id"):
            value = _core.task_context()[name]
            if value is not None:
                context[name] = value
        return context

    @property
    def job_id(self) -> str:
        """Deprecated: `get_job_id()`."""
        _deprecated("job_id", "get_job_id()")
        return self.get_job_id()

    @property
    def node_id(self) -> str:
        """Deprecated: `get_node_id()`."""
        _deprecated("node_id", "get_node_id()")
        return self.get_node_id()

    @property
    def task_id(self) -> str | None:
        """Deprecated: `get_task_id()`."""
        _deprecated("task_id", "get_task_id()")
        return self.get_task_id()

    @property
    def actor_id(self) -> str | None:
        """Deprecated: `get_actor_id()`."""
        _deprecated("actor_id", "get_actor_id()")
        return self.get_actor_id()


def _deprecated(what: str, instead: str) -> None:
    import warnings

    warnings.warn(f"{what} is deprecated. Use {instead} instead.", DeprecationWarning, stacklevel=3)


_context = RuntimeContext()


def get_runtime_context() -> RuntimeContext:
    """What the calling code can ask about itself. Starts a session when there is none."""
    _session.ensure_connected()
    return _context
