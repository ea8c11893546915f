"""`RayContext`: what `init` returns."""

from __future__ import annotations

import sys
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class RayContext(Mapping[str, "Any"]):
    """The session that `init` started or found; leaving it as a context manager ends the session.

    `address_info`: where things are (`session_dir`, `node_id`, `node_ip_address`, ...; None for what does not exist).
    The context can be read like that dict.
    """

    dashboard_url: str | None = None
    ray_commit = ""

    def __init__(self, address_info: dict[str, Any]) -> None:
        from iosdk import __version__

        self.address_info = address_info
        self.python_version = "{}.{}.{}".format(*sys.version_info[:3])
        self.ray_version = __version__

    def __getitem__(self, key: str) -> Any:
        return self.address_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.address_info)

    def __len__(self) -> int:
        return len(self.address_info)

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *_error: object) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """Ends the session."""
        from iosdk import _session

        _session.shutdown()

    def __repr__(self) -> str:
        shown = {name: self.address_info.get(name) for name in ("node_id", "session_dir")}
        return f"RayContext({shown})"
