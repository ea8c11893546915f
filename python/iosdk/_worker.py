"""A worker process, as Python sees it: `run` is what the fork server's child calls, and the rest is what the Rust side
calls while it executes tasks and methods on the main thread.

Output: stdout and stderr are pipes to the daemon. Before the first output of another task or actor than before, a
mark line (`\\x1eiosdk-name:NAME`) tells the daemon whose output follows.
"""

from __future__ import annotations

import io
import os
import sys

from iosdk import _core, _session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FUNCTION = 0
IDLE = "ray::IDLE"

_title_fd = -1


class Output(io.TextIOWrapper):
    """stdout or stderr of a worker: writes each line at once, and says whose it is when that has changed."""

    def __init__(self, fd: int) -> None:
        raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
        super().__init__(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._mark = ""

    def announce(self, name: str) -> None:
        """Output from here on is that of `name`."""
        self._mark = f"\x1eiosdk-name:{name}\n"

    def write(self, text: str) -> int:
        if self._mark:
            mark, self._mark = self._mark, ""
            super().write(mark)
        return super().write(text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle a worker's output stream")


_outputs: tuple[Output, ...] = ()

# Functions that run under a name given by option: that name -> their own, both with the module.
renamed: dict[str, str] = {}


def run(control_fd: int) -> int:
    """The life of a worker: joins over `control_fd`, executes what it is sent, returns its exit code."""
    global _outputs, _title_fd
    _outputs = (Output(1), Output(2))
    sys.stdout = sys.__stdout__ = _outputs[0]  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _outputs[1]  # type: ignore[misc]
    try:
        _title_fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # no /proc: the title stays as it is
        _title_fd = -1
    _set_title(IDLE)
    try:
        return _core.worker_main(control_fd)
    finally:
        for output in _outputs:
            output.flush()


def joined(welcome: dict[str, Any]) -> None:
    """Called by the Rust side once this process is part of the cluster."""
    _session.adopt(welcome, is_driver=False)


def call_started(name: str) -> None:
    """Called by the Rust side when the task or actor that runs is another than before."""
    for output in _outputs:
        output.announce(name)
    _set_title(f"ray::{name}")


# Set by whoever started the cluster: then tasks do not change it.
_own_threads = "OMP_NUM_THREADS" not in os.environ


def use_cpus(cpus: float) -> None:
    """Called by the Rust side when what runs holds other CPUs than before: `OMP_NUM_THREADS` follows, at least 1, as in
    Ray. Libraries that read it once, when they load, keep what they read."""
    if _own_threads:
        os.environ["OMP_NUM_THREADS"] = str(max(1, int(cpus)))


def _set_title(title: str) -> None:
    if _title_fd >= 0:
        os.write(_title_fd, title.encode("utf-8", "replace")[:15])


def load(kind: int, name: str, module: str, pickled: bytes) -> Any:
    """What a definition stands for: a function (kind 0) or an actor's class (kind 1).

    Raises `RuntimeError` that names the definition when it cannot be unpickled here.
    """
    import pickle

    try:
        loaded = pickle.loads(pickled)
    except Exception as problem:
        what = "remote function" if kind == FUNCTION else "actor class"
        raise RuntimeError(
            f"The {what} {module}.{name} failed to load on the worker: {type(problem).__name__}: {problem}. If it "
            "belongs to a "
            "module, that module must be importable there."
        ) from problem
    if kind == FUNCTION:
        from iosdk.remote_function import note_loaded

        note_loaded(loaded, pickled)
        qualname = getattr(loaded, "__qualname__", name)
        if qualname != name:
            renamed[f"{module}.{name}"] = f"{module}.{qualname}"
    return loaded
