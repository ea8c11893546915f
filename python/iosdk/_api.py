"""`put`, `get`, `wait`, `cancel`, `kill`: what the Rust side does not check itself, and starting a session on first
use."""

from __future__ import annotations

from iosdk import _core, _session
from iosdk._core import ObjectRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar, overload

    from iosdk.actor import ActorHandle

    R = TypeVar("R")

_is_connected = _core.is_connected
_get = _core.get


def put(value: R, *, _owner: Any = None, _tensor_transport: str | None = None) -> ObjectRef[R]:
    """Stores a value and gives a reference to it. Tasks that are given the reference share the value without copying
    it.

    Raises `TypeError` for an `ObjectRef` and for what cannot be pickled, `ObjectStoreFullError` for what does not fit.
    """
    if isinstance(value, ObjectRef):
        raise TypeError(
            "put of an ObjectRef is not allowed: its value is stored already. Put a list that holds it instead."
        )
    if _owner is not None:
        raise ValueError("put(_owner=...) is not supported any more: the process that calls put owns the object")
    if _tensor_transport is not None:
        from iosdk._not_yet import OPTIONS, not_yet

        raise not_yet(f"put(_tensor_transport={_tensor_transport!r})", OPTIONS["tensor_transport"])
    if not _is_connected():
        _session.ensure_connected()
    try:
        return _core.put(value)
    except TypeError as error:
        from iosdk._serialization import CouldNotSerialize

        if isinstance(error, CouldNotSerialize):
            raise error.about("the put value") from error.problem
        raise


if TYPE_CHECKING:

    @overload
    def get(object_refs: ObjectRef[R], *, timeout: float | None = None, _use_object_store: bool = False) -> R: ...
    @overload
    def get(
        object_refs: Sequence[ObjectRef[R]], *, timeout: float | None = None, _use_object_store: bool = False
    ) -> list[R]: ...


def get(object_refs: Any, *, timeout: float | None = None, _use_object_store: bool = False) -> Any:
    """The value of a reference, or the values of a list of them in its order; waits until they are there.

    `timeout`: seconds, None for ever, 0 only what is there. Each call gives new objects; arrays are read-only views
    of shared memory. Raises what the task raised, as soon as one of the references has failed; `GetTimeoutError`;
    `ValueError` for anything but a reference or a list of references.
    """
    if not _is_connected():
        _session.ensure_connected()
    if timeout is not None:
        _check_timeout(timeout)
    return _get(object_refs, timeout)


def wait(
    object_refs: list[ObjectRef[R]], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
) -> tuple[list[ObjectRef[R]], list[ObjectRef[R]]]:
    """Waits until `num_returns` of the references are ready, or for `timeout` seconds; gives (ready, not ready), both
    in the order given, with at most `num_returns` ready ones. A failed object counts as ready.

    Raises `TypeError` for anything but a list of references, `ValueError` for duplicates, a negative timeout, or a
    `num_returns` that is not between 1 and the length of the list.
    """
    if isinstance(object_refs, ObjectRef):
        raise TypeError("wait() expected a list of ObjectRefs, got a single ObjectRef")
    if not isinstance(object_refs, list):
        raise TypeError(f"wait() expected a list of ObjectRefs, got {type(object_refs).__name__}")
    if timeout is not None:
        _check_timeout(timeout)
    if not _is_connected():
        _session.ensure_connected()
    if not object_refs:
        return [], []
    if isinstance(num_returns, bool) or not isinstance(num_returns, int):
        raise TypeError(f"num_returns must be an int, not {type(num_returns).__name__}: {num_returns!r}")
    if not 0 < num_returns <= len(object_refs):
        if all(isinstance(ref, ObjectRef) for ref in object_refs):
            raise ValueError(
                f"num_returns must be between 1 and the number of references ({len(object_refs)}), not {num_returns}"
            )
        num_returns = 1  # the wrong element is the error to tell
    return _core.wait(object_refs, num_returns, timeout)


def _check_timeout(timeout: Any) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        import numbers

        if not isinstance(timeout, numbers.Real):
            raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}: {timeout!r}")
    if not timeout >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, not {timeout}")


def cancel(object_ref: ObjectRef[Any], *, force: bool = False, recursive: bool = True) -> None:
    """Cancels the task that makes the object: one that is queued never runs, and `get` raises `TaskCancelledError`.
    Without effect on one that has ended.

    Raises `TypeError` for anything but a reference, `ValueError` for `force=True` with an actor's method.
    """
    if not isinstance(object_ref, ObjectRef):
        raise TypeError(f"cancel() takes an ObjectRef, not {type(object_ref).__name__}: {object_ref!r}")
    _session.ensure_connected()
    # A task id ends in the id of its actor, whose 12 first bytes are all ones for tasks of no actor.
    if force and object_ref.task_id()[8:20] != b"\xff" * 12:
        raise ValueError("force=True is not supported for actor tasks: kill the actor instead")
    _core.cancel(object_ref, force, recursive)


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """Ends an actor at once, without running its exit handlers; calls that wait fail with `ActorDiedError`.

    Raises `ValueError` for anything but a handle, `ActorHandleNotFoundError` for the handle of another session.
    """
    from iosdk.actor import ActorHandle

    if not isinstance(actor, ActorHandle):
        raise ValueError(f"kill() takes an actor handle, not {type(actor).__name__}: {actor!r}")
    _session.ensure_connected()
    try:
        actor._iosdk_core.kill()
    except ValueError as error:
        from iosdk.exceptions import ActorHandleNotFoundError

        raise ActorHandleNotFoundError(f"{actor!r} belongs to no actor of this session") from error
