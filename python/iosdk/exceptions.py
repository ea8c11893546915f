"""Every exception of the public API, with Ray's names and hierarchy.

All of them pickle: an exception made in one process keeps its class, its text and its attributes in another.
`RayTaskError` is the one users meet most: what a task or actor method raised, wrapped so that it is both a
`RayTaskError` and an instance of the class that was raised (see `RayTaskError.as_instanceof_cause`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _rebuild(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """Unpickles any exception of this module without running its `__init__`."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class RayError(Exception):
    """The root of everything the runtime itself reports."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class RayTaskError(RayError):
    """A task or an actor method raised, or could not run because one of its arguments failed.

    Attributes: `function_name`, `traceback_str` (the remote traceback, hop by hop, root cause last), `cause` (the
    exception that was raised), `proctitle`, `pid`, `ip`, `actor_repr`, `actor_id` (hex). `str()` is the remote
    traceback.
    """

    def __init__(
        self,
        function_name: str,
        traceback_str: str,
        cause: BaseException | None,
        proctitle: str | None = None,
        pid: int | None = None,
        ip: str | None = None,
        actor_repr: str | None = None,
        actor_id: str | None = None,
    ) -> None:
        self.function_name = function_name
        self.traceback_str = traceback_str
        self.cause = cause
        self.proctitle = proctitle or f"ray::{function_name}"
        self.pid = pid
        self.ip = ip
        self.actor_repr = actor_repr
        self.actor_id = actor_id
        self.args = (function_name, traceback_str, cause, self.proctitle, pid, ip)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild_task_error, (*self._fields(), False)

    def _fields(self) -> tuple[Any, ...]:
        return (
            self.function_name,
            self.traceback_str,
            self.cause,
            self.proctitle,
            self.pid,
            self.ip,
            self.actor_repr,
            self.actor_id,
        )

    def __str__(self) -> str:
        return self.traceback_str

    def as_instanceof_cause(self) -> RayTaskError:
        """An equal error that is also an instance of the cause's class, or `self` where that cannot or need not be."""
        if self.cause is None or isinstance(self, type(self.cause)):
            return self  # a plain `RayError` needs no class of its own
        from iosdk import _dual

        return _dual.make(self)


def _rebuild_task_error(*fields: Any) -> RayTaskError:
    *plain, dual = fields
    error = RayTaskError(*plain)
    return error.as_instanceof_cause() if dual else error


class RayActorError(RayError):
    """The actor that a call was for died, or its death cut the call short.

    `actor_id`: hex or None. `actor_init_failed`: its constructor raised. `preempted`: its node was taken away on
    purpose.
    """

    base_error_msg = "The actor died unexpectedly before finishing this task."

    def __init__(
        self,
        actor_id: str | None = None,
        error_msg: str | None = None,
        actor_init_failed: bool = False,
        preempted: bool = False,
    ) -> None:
        self.actor_id = actor_id
        self.error_msg = error_msg or self.base_error_msg
        self.actor_init_failed = actor_init_failed
        self.preempted = preempted
        super().__init__(self.error_msg)

    def __str__(self) -> str:
        return self.error_msg


class ActorDiedError(RayActorError):
    """The actor is gone for good. `cause` is what its constructor raised, if that is what ended it."""

    cause: BaseException | None = None


class ActorUnavailableError(RayActorError):
    """The actor cannot be reached now but may be later; the call may or may not have run."""


class TaskCancelledError(RayError):
    """The task was cancelled. `task_id`: hex or None."""

    def __init__(self, task_id: str | None = None, error_message: str | None = None) -> None:
        self.task_id = task_id
        self.error_message = error_message
        super().__init__(task_id, error_message)

    def __str__(self) -> str:
        if self.error_message:
            return self.error_message
        if self.task_id is None:
            return "This task or one of its dependencies was cancelled."
        return f"Task {self.task_id} was cancelled."


class WorkerCrashedError(RayError):
    """The process that ran the task ended, and no retry was left.

    `attempts`: one dict per try, `number`, `pid`, `exit` (text) and `last_lines` (list of str).
    """

    def __init__(self, message: str | None = None, attempts: list[dict[str, Any]] | None = None) -> None:
        self.attempts = attempts or []
        super().__init__(message or "The worker died unexpectedly while executing this task.")


class LocalRayletDiedError(RayError):
    """The daemon of this node ended while the task ran."""


class NodeDiedError(RayError):
    """The node that ran the task is gone."""


class OutOfMemoryError(RayError):
    """The task was ended because its node ran out of memory."""


class ObjectStoreFullError(RayError):
    """A value does not fit into the object store. The text says what is stored, by whom, and how to raise the limit."""


class OutOfDiskError(RayError):
    """The local disk is too full to take more objects."""


class ObjectLostError(RayError):
    """The value is gone from every place that held it. `object_ref_hex`: which one."""

    def __init__(self, object_ref_hex: str | None = None, message: str | None = None) -> None:
        self.object_ref_hex = object_ref_hex
        self.message = message or f"Object {object_ref_hex} is lost: no copy of it is left."
        super().__init__(object_ref_hex, self.message)

    def __str__(self) -> str:
        return self.message


class ObjectFetchTimedOutError(ObjectLostError):
    """The value exists somewhere but could not be fetched in time."""


class ObjectFreedError(ObjectLostError):
    """The value was freed by hand."""


class OwnerDiedError(ObjectLostError):
    """The process that owned the object (which made the `.remote()` or `put` call) ended."""


class ObjectReconstructionFailedError(ObjectLostError):
    """The value is lost and cannot be computed again."""


class ReferenceCountingAssertionError(ObjectLostError, AssertionError):
    """The object was deleted though somebody still held a reference to it."""


class GetTimeoutError(RayError, TimeoutError):
    """`get` ran out of time. The values may still arrive; call `get` again."""


class RuntimeEnvSetupError(RayError):
    """The runtime environment could not be prepared."""


class TaskPlacementGroupRemoved(RayError):
    """The placement group of the task was removed."""


class ActorPlacementGroupRemoved(RayError):
    """The placement group of the actor was removed."""


class TaskUnschedulableError(RayError):
    """No node can ever run the task. The text says why."""


class ActorUnschedulableError(RayError):
    """No node can ever hold the actor. The text says why."""


class PendingCallsLimitExceeded(RayError):
    """The handle has `max_pending_calls` unanswered calls."""


class AsyncioActorExit(RayError):
    """Raised inside an asyncio actor to end it."""


class PlasmaObjectNotAvailable(RayError):
    """The value is not in the object store within the time given."""


class ObjectRefStreamEndOfStreamError(RayError):
    """A streaming generator has no more values."""


class CrossLanguageError(RayError):
    """A task in another language failed."""


class UserCodeException(RayError):
    """User code raised where the runtime called it."""


class UnserializableException(RayError):
    """The remote exception was pickled but cannot be unpickled here. The text holds the remote traceback."""


class AuthenticationError(RayError):
    """The cluster asks for a token that was not given or is wrong."""


class RpcError(RayError):
    """A message between processes of the cluster failed."""


class OufOfBandObjectRefSerializationException(RayError):
    """A reference was pickled outside the runtime while that is forbidden. (The spelling is Ray's.)"""


class ActorAlreadyExistsError(ValueError, RayError):
    """The actor's name is taken."""


class ActorHandleNotFoundError(ValueError, RayError):
    """The handle belongs to no actor of this session."""


class RaySystemError(RayError):
    """The runtime itself failed, or is not running."""


class RayChannelError(RaySystemError):
    """A channel between actors failed."""


class RayChannelTimeoutError(RayChannelError, TimeoutError):
    """A channel did not answer in time."""


class RayCgraphCapacityExceeded(RaySystemError):
    """A compiled graph has too many runs in flight."""


class RayDirectTransportError(RaySystemError):
    """A direct transfer between devices failed."""


class StreamingGeneratorReplayInconsistentError(RaySystemError):
    """A generator that ran again yielded another number of values."""


RAY_EXCEPTION_TYPES = tuple(
    kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, RayError)
)

__all__ = [kind.__name__ for kind in RAY_EXCEPTION_TYPES]
