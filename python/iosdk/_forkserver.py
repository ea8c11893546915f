"""The fork server: one single-threaded Python that has imported what every worker needs, and forks workers on request.

The daemon talks to it over a SEQPACKET socket, one request or reply a packet:

    daemon -> here   u32 process, with descriptors (control socket, stdout, stderr); for workers of a driver that joined
                     a head a JSON object follows: sys_path, cwd and env (added) of the worker
    here -> daemon   "R" ready, "E" cannot start (text)
                     "F" forked: u32 process, i32 pid, with a pidfd
                     "N" not forked: u32 process, i32 0, why (text)
                     "X" ended: u32 0, i32 pid, i32 code (minus the signal that killed it)

The socket is its standard input. It ends when the socket does.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_PROCESS = struct.Struct("<I")
_REPLY = struct.Struct("<cIi")
_ENDED = struct.Struct("<cIii")

#: What a worker needs anyway; forked pages of it are shared.
_PRELOAD = ("cloudpickle", "iosdk._worker", "iosdk._serialization", "iosdk._errors", "iosdk._raised")

#: The one descriptor, besides 0 to 2, that a worker starts with.
_CONTROL = 3
_TEXT_LIMIT = 32_768
_PACKET_LIMIT = 1 << 20


class _CannotStart(Exception):
    """An import failed or did something that forking does not survive."""


def main() -> int:
    """Serve requests until the daemon goes away. In each forked child: run the worker, which ends the process."""
    gc.disable()
    sock = _take_channel()
    try:
        _preload()
    except _CannotStart as error:
        _send(sock, b"E" + str(error).encode(errors="replace")[:_TEXT_LIMIT])
        return 1
    gc.freeze()
    if _serve(sock):
        return 0
    # From here on this is a worker: the server's frames are gone, only this module's names are left.
    from iosdk import _worker

    _leave(_worker.run(_CONTROL))


def _leave(code: int) -> NoReturn:
    """Ends a worker as the interpreter would: other threads are waited for, exit handlers run. What is left out is
    taking modules apart, which would copy every page that is shared with the server to write reference counts."""
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _take_channel() -> socket.socket:
    """The socket, moved away from standard input, which becomes empty for the server and all its children."""
    sock = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return sock


def _preload() -> None:
    for name in _PRELOAD:
        try:
            import_module(name)
        except BaseException:
            raise _CannotStart(f"cannot import {name}:\n{traceback.format_exc()}") from None
        if _threads() > 1:
            raise _CannotStart(f"importing {name} started a thread, and a process with threads cannot be forked safely")


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _serve(sock: socket.socket) -> bool:
    """True when the daemon is gone, False in a forked child."""
    # The daemon reads its signals from a descriptor, so it blocks them, and what it blocks is inherited.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    poller.register(woken, select.POLLIN)
    alive = _send(sock, b"R")
    while alive:
        ready = {fd for fd, _ in poller.poll()}
        if woken in ready:
            _drain(woken)
            alive = _report_ended(sock)
        if sock.fileno() in ready:
            try:
                packet, fds, _, _ = socket.recv_fds(sock, _PACKET_LIMIT, 3, socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:
                return True
            if not packet:
                return True
            if _fork(sock, packet, fds):
                return False
    return True


def _drain(woken: int) -> None:
    try:
        while os.read(woken, 512):
            pass
    except BlockingIOError:
        pass


def _report_ended(sock: socket.socket) -> bool:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return True
        if not _send(sock, _ENDED.pack(b"X", 0, pid, os.waitstatus_to_exitcode(status))):
            return False


def _fork(sock: socket.socket, packet: bytes, fds: list[int]) -> bool:
    """True in the child, which is then set up as a worker."""
    (process,) = _PROCESS.unpack_from(packet)
    try:
        if len(fds) != 3:
            raise OSError(f"{len(fds)} descriptors came with the request, 3 are needed")
        threads = _threads()
        if threads > 1:
            raise OSError(f"the fork server has {threads} threads; something it imported started them late")
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
    except OSError as error:
        _send(sock, _REPLY.pack(b"N", process, 0) + str(error).encode(errors="replace")[:_TEXT_LIMIT])
        pid = -1
    if pid == 0:
        # Not closed but forgotten: the number will belong to something else, and the object must not close that.
        sock.detach()
        _become_worker(*fds)
        _settle(packet[_PROCESS.size :])
        return True
    for fd in fds:
        os.close(fd)
    if pid > 0:
        # Taken before it can be reaped, so the number cannot have been given to another process.
        pidfd = os.pidfd_open(pid)
        _send(sock, _REPLY.pack(b"F", process, pid), [pidfd])
        os.close(pidfd)
    return False


def _become_worker(control: int, stdout: int, stderr: int) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    # Standard input is the server's: empty.
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(control, _CONTROL, inheritable=False)
    os.closerange(_CONTROL + 1, os.sysconf("SC_OPEN_MAX"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _reseed()
    gc.enable()


def _settle(setting: bytes) -> None:
    """Runs as the driver of a head does: with its search path, in its directory, with what its job was given."""
    if not setting:
        return
    import json

    given = json.loads(setting)
    sys.path[:] = given["sys_path"]
    os.environ.update(given["env"])
    os.chdir(given["cwd"])


def _reseed() -> None:
    """`random` does this by itself after a fork. Libraries that an operator had preloaded do not."""
    for name in ("numpy.random", "torch.random"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


def _send(sock: socket.socket, packet: bytes, fds: list[int] | None = None) -> bool:
    """False when the daemon is gone."""
    try:
        if fds:
            socket.send_fds(sock, [packet], fds)
        else:
            sock.send(packet)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True
