"""The session of this process: starting a private cluster, joining it, leaving it, and knowing which one it is.

`init` starts the daemon as a child (the extension module loaded by path in a bare interpreter, so that no user code
runs in it) and talks to it over a socket pair; nothing listens anywhere. A worker's session is made by the runtime
before any user code runs, and `init` there is a second `init`. Whatever way this process ends, the daemon sees the
socket close and ends the cluster.
"""

from __future__ import annotations

import os
import sys

from iosdk import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from iosdk._context import RayContext

STOP_TIMEOUT_S = 5.0
EXIT_TIMEOUT_S = 3.0

_LOADER = """
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader("iosdk._core", sys.argv[1])
core = module_from_spec(spec_from_loader("iosdk._core", loader))
loader.exec_module(core)
sys.exit(core.daemon_main(sys.argv[2:]))
"""


class _State:
    """What is known of the current session. One per process; a fork notices by `pid` that it is not its own."""

    def __init__(self) -> None:
        self.exit_hook_set = False
        self.clear()

    def clear(self) -> None:
        self.pid = 0
        self.welcome: dict[str, Any] = {}
        self.namespace = ""
        self.is_driver = False
        self.daemon_pid: int | None = None
        self.head: str | None = None
        self.drain_logs: Callable[[], None] | None = None
        self.stoppers: list[Callable[[], None]] = []


_state = _State()

# Called when a session ends: callers that were made for it must be made again for the next.
_resets: list[Callable[[], None]] = []


def on_end(reset: Callable[[], None]) -> None:
    """Has `reset` called after each session of this process, as long as the process lives."""
    _resets.append(reset)


def is_initialized() -> bool:
    """True while this process is part of a cluster."""
    return _core.is_connected()


def ensure_connected() -> None:
    """Calls `init()` when there is no session, as every API call does, unless `IOSDK_ENABLE_AUTO_CONNECT=0`."""
    if _core.is_connected():
        return
    from iosdk import _errors

    if _state.pid and _state.pid != os.getpid():
        raise _errors.local("forked", {})
    if _state.pid and not _state.is_driver:
        raise _errors.local("not_connected", {})
    if os.environ.get("IOSDK_ENABLE_AUTO_CONNECT") == "0":
        raise _errors.local("not_connected", {})
    if _state.pid:
        raise _lost_cluster()
    from iosdk._init import init

    init()


def require_connected() -> None:
    """Raises `RaySystemError` when there is no session (for calls that do not start one)."""
    if not _core.is_connected():
        from iosdk import _errors

        is_fork = _state.pid not in (0, os.getpid())
        raise _errors.local("forked" if is_fork else "not_connected", {})


def _lost_cluster() -> BaseException:
    from iosdk import exceptions

    return exceptions.RaySystemError(
        "The cluster of this session has ended unexpectedly (its daemon is gone). Call iosdk.shutdown() and "
        "iosdk.init() "
        "to start another."
    )


def start_driver(config: Mapping[str, Any], namespace: str, log_to_driver: bool) -> RayContext:
    """Starts the daemon with `config` (see `cli`), joins it and gives back the context that `init` returns.

    Raises `ConnectionError` when the daemon does not come up; its reason is on stderr.
    """
    from _socket import socketpair  # what `socket` wraps, without the 9 ms its import costs

    ours, theirs = socketpair()
    try:
        daemon = _spawn(theirs.fileno(), config)
    finally:
        theirs.close()
    try:
        import cloudpickle  # noqa: F401  (needed by the first call; loads while the daemon starts)

        welcome = _core.connect(ours.detach(), True)
    except BaseException:
        ours.close()
        _reap(daemon)
        raise
    if _state.pid:
        _end_callers()  # a fork starts a session of its own; what it inherited is of its parent's
    return _begin(welcome, daemon, namespace, log_to_driver)


def join_head(address: str, namespace: str, sys_path: list[str], log_to_driver: bool) -> RayContext:
    """Joins the head that `address` names, as a driver whose workers run this interpreter with this search path.

    Raises `ConnectionError` when there is none.
    """
    import cloudpickle  # noqa: F401

    from iosdk import _attach

    data = _attach.data_dir(address)
    connection = _attach.connect(data)
    welcome = _core.connect(connection, True, _attach.settings(namespace, sys_path, log_to_driver))
    if _state.pid:
        _end_callers()
    context = _begin(welcome, None, namespace, log_to_driver)
    _state.head = data
    return context


def _begin(welcome: dict[str, Any], daemon: int | None, namespace: str, log_to_driver: bool) -> RayContext:
    adopt(welcome, is_driver=True)
    _state.daemon_pid = daemon
    _state.namespace = namespace
    if log_to_driver:
        from iosdk import _logs

        _state.drain_logs = _logs.start()
    if not _state.exit_hook_set:
        import atexit

        atexit.register(shutdown)
        _state.exit_hook_set = True
    return context()


def adopt(welcome: dict[str, Any], is_driver: bool) -> None:
    """Notes the session that this process has joined."""
    _state.pid = os.getpid()
    _state.welcome = welcome
    _state.is_driver = is_driver
    _state.stoppers = []


def context() -> RayContext:
    """The context of the running session, as `init` returns it."""
    from iosdk._context import RayContext

    welcome = _state.welcome
    info = dict.fromkeys(
        (
            "redis_address",
            "object_store_address",
            "raylet_socket_name",
            "webui_url",
            "metrics_export_port",
            "gcs_address",
            "dashboard_agent_listen_port",
        )
    )
    info["node_ip_address"] = welcome.get("node_ip")
    info["session_dir"] = welcome.get("session_dir")
    info["node_id"] = welcome.get("node_id")
    info["address"] = welcome.get("address")
    return RayContext(info)


def shutdown(*, wait_for_processes: bool = False) -> None:
    """Leaves the cluster, and ends it if this process started it. Output of workers is printed first. Idempotent.

    `wait_for_processes`: give up only after the daemon has exited, not after 3 seconds.
    """
    if not _state.is_driver or _state.pid != os.getpid():
        return  # never started, a fork (the session is the parent's), or a worker, whose session is not its own to end
    daemon, stoppers = _state.daemon_pid, _state.stoppers
    try:
        if _core.is_connected() and _core.shutdown_cluster(STOP_TIMEOUT_S) and _state.drain_logs is not None:
            _state.drain_logs()
    finally:
        _core.disconnect()
        for stop in stoppers:
            stop()
        _state.clear()
        _end_callers()
        if daemon is not None:
            _reap(daemon, None if wait_for_processes else EXIT_TIMEOUT_S)


def _end_callers() -> None:
    for reset in _resets:
        reset()


def on_shutdown(stop: Callable[[], None]) -> None:
    """Has `stop` called once, when the running session ends and its waiters have been released."""
    _state.stoppers.append(stop)


def node_ip() -> str:
    """Address of this node, as shown in tracebacks."""
    return str(_state.welcome.get("node_ip") or "127.0.0.1")


def namespace() -> str:
    """The namespace of this driver."""
    return _state.namespace


def is_driver() -> bool:
    """True in a process that has joined a cluster as its driver."""
    return _state.is_driver and _core.is_connected()


def head() -> str | None:
    """The data directory of the head that this driver has joined; None in a private cluster and in workers."""
    return _state.head


def welcome() -> Mapping[str, Any]:
    """What the daemon said when this process joined; empty without a session."""
    return _state.welcome


def bare_program() -> list[str]:
    """The words that run the command line in a bare interpreter: the extension loaded by path, and no user code."""
    extension = _core.__file__
    assert extension is not None
    return [sys.executable, "-I", "-S", "-c", _LOADER, extension]


def _spawn(control_fd: int, config: Mapping[str, Any]) -> int:
    import json

    control = 3
    arguments = [*bare_program(), "daemon", "--control-fd", str(control), "--config", json.dumps(config)]
    actions = [
        # Of all our descriptors only this one and stderr are inherited: every other is close-on-exec.
        (os.POSIX_SPAWN_DUP2, control_fd, control),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)


def _reap(daemon: int, timeout_s: float | None = EXIT_TIMEOUT_S) -> None:
    """Waits for the daemon to exit; kills it when it takes too long."""
    import select
    import signal

    try:
        watch = os.pidfd_open(daemon)
    except ProcessLookupError:  # user code reaps all children and was faster
        return
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            signal.pidfd_send_signal(watch, signal.SIGKILL)
        os.waitpid(daemon, 0)
    except ChildProcessError:
        return
    finally:
        os.close(watch)
