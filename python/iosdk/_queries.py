"""Questions about the cluster, answered in the shapes Ray gives."""

from __future__ import annotations

from iosdk import _core, _session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Fields of Ray's records that have no meaning here (nothing listens, no dashboard): their values say "none".
_PORTS = (
    "NodeManagerPort",
    "ObjectManagerPort",
    "MetricsExportPort",
    "MetricsAgentPort",
    "DashboardAgentListenPort",
    "RuntimeEnvAgentPort",
)


def nodes() -> list[dict[str, Any]]:
    """One dict per node: `NodeID`, `Alive`, `Resources`, `NodeManagerAddress`, ... Raises `RaySystemError` without
    session."""
    _session.require_connected()
    return [_node(record) for record in _core.query("nodes")]


def _node(record: dict[str, Any]) -> dict[str, Any]:
    alive = record["alive"]
    return {
        "NodeID": record["node_id"],
        "Alive": alive,
        "alive": alive,
        "NodeManagerAddress": record["ip"],
        "NodeManagerHostname": record["hostname"],
        **dict.fromkeys(_PORTS, 0),
        "ObjectStoreSocketName": "",
        "RayletSocketName": "",
        "NodeName": record["ip"],
        "DeathReason": 0,
        "DeathReasonMessage": "",
        "Resources": dict(record["resources"]) if alive else {},
        "Labels": {"ray.io/node-id": record["node_id"]},
    }


def cluster_resources() -> dict[str, float]:
    """All resources of all living nodes. Raises `RaySystemError` without session."""
    _session.require_connected()
    return dict(_core.query("cluster_resources"))


def available_resources() -> dict[str, float]:
    """What is not in use now; a resource used up is absent. Raises `RaySystemError` without session."""
    _session.require_connected()
    return {name: amount for name, amount in _core.query("available_resources").items() if amount > 0}
