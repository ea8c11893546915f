"""Joining a head that stands: finding it, and the connection to its node.

A head of this user is found by `IOSDK_ADDRESS`, or where `iosdk start --head` noted the last one that was started; what
another user has put there is never believed.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any

NODE_SOCKET = "node.sock"
HTTP_SOCKET = "http.sock"


def data_dir(address: str) -> str:
    """The data directory of the head that `address` names: "auto" or the path of a data directory.

    Raises `ConnectionError` when no head of this user runs, `NotImplementedError` for addresses of the network.
    """
    if address == "auto":
        found = noted()
        if found is None:
            raise ConnectionError(
                'init(address="auto"): no running head of this user was found. Start one with `iosdk start --head`, '
                "or leave the address out for a private cluster."
            )
        return found
    if os.path.isabs(address):
        return address
    from iosdk._not_yet import not_yet

    why = "joining over the network; a head of this machine is joined by `auto` or by the path of its data directory"
    raise not_yet(f"init(address={address!r})", why)


def settings(namespace: str, sys_path: list[str], log_to_driver: bool) -> dict[str, Any]:
    """How the workers of this driver are to run: as this process does."""
    import sys

    import iosdk

    names = [name for name in os.environ.get("IOSDK_JOB_ENV", "").split(",") if name in os.environ]
    number = os.environ.get("IOSDK_JOB_NUMBER")
    return {
        "namespace": namespace,
        "submission": None if number is None else int(number),
        "python": sys.executable,
        "package": os.path.dirname(os.path.dirname(os.path.abspath(iosdk.__file__))),
        "sys_path": sys_path,
        "cwd": os.getcwd(),
        "env": [(name, os.environ[name]) for name in names],
        "log_to_driver": log_to_driver,
    }


def connect(data: str) -> int:
    """A connection to the node of the head with this data directory, as a descriptor that the caller owns.

    Raises `ConnectionError` when the node does not answer or is another user's.
    """
    return int(open_socket(data, NODE_SOCKET).detach())


def open_socket(data: str, name: str, timeout: float | None = None) -> socket:
    """A connection to one of the sockets of the head with this data directory.

    Raises `ConnectionError` when nobody listens there or it is another user's.
    """
    import socket

    serves = "node of the head" if name == NODE_SOCKET else "head"
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(timeout)
    try:
        folder = os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Addresses of sockets end at 108 bytes, paths do not.
            connection.connect(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)
    except OSError as problem:
        connection.close()
        raise ConnectionError(
            f"The {serves} at {data} does not answer ({problem.strerror or problem}). `iosdk status` says what runs."
        ) from problem
    owner = _owner(connection)
    if owner != os.getuid():
        connection.close()
        raise ConnectionError(f"{os.path.join(data, name)} belongs to user {owner}, not to this one ({os.getuid()})")
    return connection


def _owner(connection: socket) -> int:
    import socket
    import struct

    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def state_dir() -> str:
    """The folder in which heads of this user are noted."""
    base = os.environ.get("XDG_STATE_HOME")
    if not base or not os.path.isabs(base):
        home = os.environ.get("HOME")
        base = os.path.join(home, ".local", "state") if home else None
    if base:
        return os.path.join(base, "iosdk")
    import tempfile

    return os.path.join(tempfile.gettempdir(), f"iosdk-{os.getuid()}")


def noted() -> str | None:
    """The data directory of the head that was started last, when it still runs."""
    folder = state_dir()
    data = os.path.join(folder, "head")
    try:
        with open(os.path.join(folder, "current")) as file:
            if os.fstat(file.fileno()).st_uid == os.getuid():
                data = file.read().strip() or data
    except OSError:
        pass  # none was noted: the one in its usual place, if it runs
    return data if os.path.exists(os.path.join(data, NODE_SOCKET)) else None
