"""Questions to a head over its Unix socket, where the kernel says who asks: which head, and what its answers mean."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from iosdk import _attach, _session
from iosdk._not_yet import not_yet
from iosdk.util.state.exception import RayStateApiException, ServerUnavailable

_START = "Start one with `iosdk start --head`"


class NotThere(RayStateApiException):
    """The head knows nothing of that id."""


def ask(address: str | None, timeout: float, path: Sequence[str], query: Sequence[tuple[str, str]] = ()) -> Any:
    """The result of `GET /api/v0/...`; `timeout` in seconds, for each wait.

    Raises `ServerUnavailable` (a `ConnectionError`) when no head answers, `NotThere` for an unknown id, and
    `RayStateApiException` with the head's reason when it refuses.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ValueError(f"timeout must be a number of seconds above 0, not {timeout!r}")
    data = _data_dir(address)
    target = "/api/v0/" + "/".join(quote(part, safe="") for part in path)
    status, body = _get(data, target + ("?" + urlencode(query) if query else ""), timeout)
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if status == 200 and isinstance(answer, dict):
        return answer["data"]["result"]
    if status == 404 and answer is None:
        raise RayStateApiException(
            f"The head at {data} is of an older version, which has no state API. `iosdk stop` and `iosdk start --head` "
            "replace it by this one."
        )
    reason = str(answer.get("msg")) if isinstance(answer, dict) else body.decode(errors="replace").strip()
    kinds: dict[int, type[RayStateApiException]] = {404: NotThere, 503: ServerUnavailable}
    raise kinds.get(status, RayStateApiException)(reason or f"the head at {data} answered with status {status}")


def _get(data: str, target: str, timeout: float) -> tuple[int, bytes]:
    try:
        stream = _attach.open_socket(data, _attach.HTTP_SOCKET, timeout)
    except ConnectionError as problem:
        raise ServerUnavailable(f"{problem} {_START}.") from problem
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    connection.sock = stream
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except TimeoutError as late:
        raise ServerUnavailable(
            f"The head at {data} has not answered for {timeout:g} s. `iosdk status` says what runs."
        ) from late
    except (OSError, http.client.HTTPException) as problem:
        raise ServerUnavailable(f"The connection to the head at {data} broke: {problem!r}") from problem
    finally:
        connection.close()


def _data_dir(address: str | None) -> str:
    """Of the head that is meant: the one that was named, else the one that this driver has joined, else the usual."""
    if address is not None and not isinstance(address, str):
        raise TypeError(f"address must be a str, not {type(address).__name__}")
    if address is None and _session.is_driver():
        address = _session.head() or "local"
    if address in (None, "auto"):
        address = os.environ.get("IOSDK_ADDRESS") or "auto"
    if address == "local":
        raise ServerUnavailable(
            f"Only a head has a state API; a private cluster, as init() starts it, has none. {_START} and join it by "
            'init(address="auto").'
        )
    if address == "auto":
        noted = _attach.noted()
        if noted is None:
            raise ServerUnavailable(f"No running head of this user was found. {_START}.")
        return noted
    assert address is not None
    if os.path.isabs(address):
        return address
    why = "the state API over the network; a head of this machine is `auto` or the path of its data directory"
    raise not_yet(f"address={address!r}", why)
