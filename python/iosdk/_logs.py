"""The driver's printing of what workers print: one thread that writes through Python's own `sys.stdout` and
`sys.stderr`, so that output lands in the notebook cell or wherever the user has sent it, each line with a prefix
naming its source."""

from __future__ import annotations

import sys

from iosdk import _core, exceptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

JOIN_TIMEOUT_S = 2.0
_CYAN, _PLAIN = "\x1b[36m", "\x1b[0m"


def start() -> Callable[[], None]:
    """Starts the thread; the function it returns waits until everything is printed."""
    import threading

    thread = threading.Thread(target=_print_all, name="iosdk-logs", daemon=True)
    thread.start()
    return lambda: thread.join(JOIN_TIMEOUT_S)


def _print_all() -> None:
    while True:
        try:
            lines = _core.next_log_lines()
        except exceptions.RaySystemError:
            return  # the session ended between two calls
        if lines is None:
            return
        for is_stderr in (False, True):
            chosen = [(name, pid, text) for name, pid, kind, text in lines if kind is is_stderr]
            if chosen:
                _write(sys.stderr if is_stderr else sys.stdout, chosen)


def _write(stream: IO[str] | None, lines: list[tuple[str, int, str]]) -> None:
    if stream is None:
        return  # pythonw and the like have no streams
    try:
        on, off = (_CYAN, _PLAIN) if stream.isatty() else ("", "")
        stream.write("".join(f"{on}({name or 'worker'} pid={pid}){off} {text}\n" for name, pid, text in lines))
        stream.flush()
    except (OSError, ValueError):
        return  # the user closed the stream, or whoever read it is gone: nowhere is left to say so
