"""How failures cross processes: `pack` in the process where something was raised, `unpack` where it is asked for, and
`local` for what the runtime itself finds out. The Rust side calls these by name.

A packed error is a plain tuple of strings, numbers and bytes, so it always pickles, whatever was raised. The texts name
what was asked for and what happened; fragments that users of Ray match on are kept.
"""

from __future__ import annotations

import os
import sys

from iosdk import _raised
from iosdk import exceptions as exc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Fields = Mapping[str, Any]

_DEPENDENCY = "At least one of the input arguments for this task could not be computed:"


class SessionOver(ValueError):
    """A reference or handle of a session that has ended was used in another."""


def pack(error: BaseException, function_name: str, is_actor: bool, actor_repr: object) -> tuple[Any, ...]:
    """What a task or method raised, as a value that always pickles.

    `function_name`: what ran (`f`, or `Class.method`). `actor_repr`: the actor instance, its repr as text, or None.
    """
    context = _task_context()
    function_name = function_name or "task"
    actor_id = context.get("actor_id") if is_actor else None
    shown = _repr_of_actor(actor_repr) if is_actor else None
    error = _rephrase(error, function_name)
    trace = f"{_header(function_name, os.getpid(), _node_ip(), actor_id, shown)}\n{format_remote(error)}"
    if isinstance(error, KeyboardInterrupt):
        error = exc.TaskCancelledError(context.get("task_id"))
        trace = f"{trace}\n{type(error).__name__}: {error}"
    about = (os.getpid(), _node_ip(), shown, actor_id)
    return function_name, trace, _raised.pack(error), about


def unpack(packed: tuple[Any, ...] | str) -> BaseException:
    """The exception to raise for a packed error."""
    if isinstance(packed, str):  # all that was left to say in the worker
        return exc.RaySystemError(packed)
    function_name, trace, raised, about = packed
    try:
        cause = _raised.unpack(raised)
    except Exception as problem:
        return exc.UnserializableException(
            f"The exception that {function_name} raised cannot be unpickled here "
            f"({type(problem).__name__}: {problem}). Its remote traceback:\n{trace}"
        )
    error = exc.RayTaskError(function_name, _coloured(trace), cause, f"ray::{function_name}", *about)
    return error.as_instanceof_cause()


def retryable(error: BaseException, retry: bytes) -> bool:
    """True when `retry_exceptions` (as packed for `define`) covers this error. User interrupts never are."""
    if not retry or isinstance(error, (KeyboardInterrupt, SystemExit)):
        return False
    if retry == b"*":
        return isinstance(error, Exception)
    kinds = _retry_lists.get(retry)
    if kinds is None:
        import pickle

        kinds = _retry_lists[retry] = tuple(pickle.loads(retry))
    return isinstance(error, kinds)


_retry_lists: dict[bytes, tuple[type[BaseException], ...]] = {}


def local(kind: str, fields: Fields) -> BaseException:
    """The exception for something the runtime found out by itself. `kind` and `fields` are fixed with the Rust side."""
    return _LOCAL[kind](fields)


def format_remote(error: BaseException) -> str:
    """The traceback of `error` without frames of the runtime; hops that came from other processes are shown as they
    are."""
    if isinstance(error, exc.RayTaskError):
        own = _frames(error)
        return f"{own}{error.traceback_str}"
    import traceback

    report = traceback.TracebackException.from_exception(error)
    _drop_own_frames(report, set())
    text = "".join(report.format())
    if report.__cause__ is None and (report.__context__ is None or report.__suppress_context__):
        text = text.removeprefix("Traceback (most recent call last):\n")
    return text.rstrip("\n")


def _frames(error: BaseException) -> str:
    import traceback

    stack = traceback.extract_tb(error.__traceback__)
    return "".join(traceback.format_list([frame for frame in stack if not _is_own(frame.filename)]))


def _drop_own_frames(report: Any, seen: set[int]) -> None:
    if report is None or id(report) in seen:
        return
    seen.add(id(report))
    report.stack[:] = [frame for frame in report.stack if not _is_own(frame.filename)]
    for inner in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        _drop_own_frames(inner, seen)


_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _is_own(filename: str) -> bool:
    return filename.startswith(_OWN_FOLDER) or f"{os.sep}cloudpickle{os.sep}" in filename


def _header(function_name: str, pid: int, ip: str, actor_id: str | None, actor_repr: str | None) -> str:
    actor = "" if actor_id is None else f", actor_id={actor_id}, repr={actor_repr}"
    return f"ray::{function_name}() (pid={pid}, ip={ip}{actor})"


def _coloured(trace: str) -> str:
    """The names of the hops in cyan where a person reads them, plain everywhere else."""
    if "\x1b[" in trace or not _is_terminal():
        return trace
    lines = trace.split("\n")
    for index, line in enumerate(lines):
        name, paren, rest = line.partition("() (pid=")
        if paren and line.startswith("ray::"):
            lines[index] = f"\x1b[36m{name}()\x1b[39m (pid={rest}"
    return "\n".join(lines)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no stderr (pythonw), or it was closed
        return False


def _rephrase(error: BaseException, function_name: str) -> BaseException:
    """A value that cannot be pickled and was not an argument of a call in user code is what the task returned."""
    from iosdk._serialization import CouldNotSerialize

    if isinstance(error, CouldNotSerialize) and not _frames(error):
        return error.about(f"the return value of {function_name}")
    return error


def _repr_of_actor(actor: object) -> str | None:
    if actor is None or isinstance(actor, str):
        return actor
    try:
        return repr(actor)
    except Exception as problem:  # user code: whatever it raises must not hide the error being reported
        return f"<{type(actor).__name__}: its repr raised {type(problem).__name__}>"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # user code, as above
        return f"<its text raised {type(problem).__name__}>"


def _task_context() -> dict[str, Any]:
    from iosdk import _core

    return _core.task_context()


def _node_ip() -> str:
    from iosdk import _session

    return _session.node_ip()


def _worker_crashed(fields: Fields) -> BaseException:
    attempts = list(fields["attempts"])
    lines = [
        f"The worker process of task {fields['function']} ({fields['task_id']}) died and no retry is left. "
        f"{len(attempts)} attempt{'s' if len(attempts) != 1 else ''}:"
    ]
    for attempt in attempts:
        lines.append(f"  attempt {attempt['number']}: pid {attempt['pid']} {attempt['exit']}")
        lines.extend(f"    | {line}" for line in attempt["last_lines"])
    return exc.WorkerCrashedError("\n".join(lines), attempts)


_ACTOR_CAUSES = {
    "killed": "The actor is dead because it was killed by `ray.kill` (or `iosdk.kill`).",
    "out_of_scope": "The actor is dead because all references to the actor were removed.",
    "process": "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR, detail: "
    "{detail}",
    "owner_died": "The actor is dead because its owner has died. {detail}",
    "node_died": "The actor died because its node has died. {detail}",
    "infeasible": "The actor cannot be placed on any node: {detail}",
    "exited": "The actor is dead because it called `exit_actor()`. {detail}",
}


def _actor_died(fields: Fields) -> BaseException:
    cause, actor_id, name = fields["cause"], fields["actor_id"], fields["class_name"]
    where = f"\n\tclass_name: {name}\n\tactor_id: {actor_id}"
    if cause == "infeasible":
        return exc.ActorUnschedulableError(_ACTOR_CAUSES[cause].format(detail=fields["detail"]) + where)
    if cause != "init_failed":
        text = _ACTOR_CAUSES[cause].format(detail=fields["detail"]).rstrip()
        return exc.ActorDiedError(actor_id, f"The actor died unexpectedly before finishing this task.{where}\n{text}")
    raised = fields["error"] if isinstance(fields["error"], BaseException) else None
    trace = raised.traceback_str if isinstance(raised, exc.RayTaskError) else str(raised or fields["detail"])
    text = f"The actor died because of an error raised in its creation task, {trace}"
    error = exc.ActorDiedError(actor_id, text, actor_init_failed=True)
    error.cause = raised
    return error


def _cancelled(fields: Fields) -> BaseException:
    task_id = fields["task_id"]
    named = f" ({fields['function']})" if fields["function"] else ""
    return exc.TaskCancelledError(task_id, f"Task {task_id}{named} was cancelled.")


def _owner_died(fields: Fields) -> BaseException:
    object_id = fields["object_id"]
    text = (
        f"Object {object_id} cannot be had because its owner has died: the process that made it with `.remote()` or "
        "`put` "
        f"({fields['owner']}). {fields['detail']}"
    )
    return exc.OwnerDiedError(object_id, text.rstrip())


def _dependency_failed(fields: Fields) -> BaseException:
    function, cause = fields["function"], fields["cause"]
    ip = cause.ip if isinstance(cause, exc.RayTaskError) else None
    inner = cause.traceback_str if isinstance(cause, exc.RayTaskError) else f"{type(cause).__name__}: {_text_of(cause)}"
    trace = f"{_header(function, os.getpid(), ip or _node_ip(), None, None)}\n{_DEPENDENCY}\n{inner}"
    root = cause.cause if isinstance(cause, exc.RayTaskError) and cause.cause is not None else cause
    return exc.RayTaskError(function, _coloured(trace), root, None, os.getpid(), ip).as_instanceof_cause()


def _store_full(fields: Fields) -> BaseException:
    lines = [
        f"A value of {_size(fields['needed'])} does not fit into the object store: {_size(fields['used'])} of "
        f"{_size(fields['limit'])} are taken."
    ]
    for address, pid, size in fields["by_process"]:
        lines.append(f"  process {address} (pid {pid}) holds {_size(size)}")
    lines.append("Drop references that are no longer needed, or start with more: init(object_store_memory=BYTES).")
    return exc.ObjectStoreFullError("\n".join(lines))


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def _get_timeout(fields: Fields) -> BaseException:
    return exc.GetTimeoutError(
        f"Get timed out: {fields['waiting']} of {fields['total']} object(s) not ready after {fields['timeout']} "
        "seconds."
    )


def _depth(fields: Fields) -> BaseException:
    return exc.RaySystemError(
        f"Task {fields['function']} would be the {int(fields['limit']) + 1}th level of tasks that wait for tasks; the "
        f"limit is {fields['limit']} levels, since each level keeps a process alive."
    )


def _object_lost(fields: Fields) -> BaseException:
    object_id = fields["object_id"]
    return exc.ObjectLostError(
        object_id,
        f"Object {object_id} is lost: its owner does not know it any more (it was freed, or the reference is of "
        "another "
        "session).",
    )


_LOCAL: dict[str, Callable[[Fields], BaseException]] = {
    "worker_crashed": _worker_crashed,
    "actor_died": _actor_died,
    "cancelled": _cancelled,
    "owner_died": _owner_died,
    "object_lost": _object_lost,
    "infeasible": lambda fields: exc.TaskUnschedulableError(
        f"Task {fields['function']} can never run: {fields['why']} "
        '(init(infeasible="wait") makes such requests wait instead.)'
    ),
    "store_full": _store_full,
    "get_timeout": _get_timeout,
    "not_connected": lambda _: exc.RaySystemError(
        "Ray has not been started yet. Call iosdk.init() first, or leave IOSDK_ENABLE_AUTO_CONNECT unset."
    ),
    "forked": lambda _: exc.RaySystemError(
        "This is a forked process: it has no part in its parent's session, and references of the parent are inert "
        "here. "
        "Call iosdk.init() to start a session of its own."
    ),
    "depth": _depth,
    "dependency_failed": _dependency_failed,
    "session_over": lambda _: SessionOver(
        "A Ray object whose owner is unknown was given: the session that made it is over. The calls get, wait, put and "
        ".remote() cannot use Ray objects whose owner is unknown; make them again in the running session."
    ),
}
