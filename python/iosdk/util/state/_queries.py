"""`list_*`, `get_*` and `summarize_*`, with Ray's arguments."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

from iosdk.util.state._ask import NotThere, ask
from iosdk.util.state.common import ActorState, JobState, NodeState, ObjectState, StateSchema, TaskState, WorkerState
from iosdk.util.state.exception import RayStateApiException

Row = TypeVar("Row", bound=StateSchema)
Filters = Sequence[tuple[str, str, "str | bool | int | float"]]

LIMIT = 100
LIMIT_MAX = 10_000
TIMEOUT = 30


def _listed(
    kind: str,
    row: type[Row],
    address: str | None,
    filters: Filters | None,
    limit: int,
    timeout: float,
    raise_on_missing_output: bool,
    explain: bool,
) -> list[Row]:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"limit must be an int from 1 to {LIMIT_MAX:,}, not {limit!r}")
    query = [("limit", str(limit)), *_query(filters or ())]
    told = ask(address, timeout, [kind], query)
    rows = [row.of(one) for one in told["result"]]
    missing = _missing(told)
    # Rows that were not compared with the filters may be some that were asked for; without filters `limit` says it all.
    if filters and told["num_after_truncation"] < told["total"] and len(rows) < limit:
        seen, total = told["num_after_truncation"], told["total"]
        missing.append(f"{seen:,} of {total:,} {kind} were compared with the filters; a larger limit compares more")
    _raise_or_warn(kind, missing, raise_on_missing_output)
    found = told["num_filtered"] if filters else max(told["num_filtered"], told["total"])
    if explain and len(rows) < found:
        warnings.warn(f"{len(rows):,} of {found:,} {kind} are in the list", stacklevel=3)
    for text in told["warnings"]:
        warnings.warn(str(text), stacklevel=3)
    return rows


def _missing(told: dict[str, Any]) -> list[str]:
    """Who did not answer, in the head's words."""
    warning = told.get("partial_failure_warning")
    return [str(warning)] if warning else []


def _raise_or_warn(kind: str, missing: list[str], raises: bool) -> None:
    if missing and raises:
        raise RayStateApiException(
            f"What is told of {kind} is not whole: {'; '.join(missing)}. "
            "raise_on_missing_output=False gives what there is."
        )
    for text in missing:
        warnings.warn(text, stacklevel=4)


def _query(filters: Filters) -> list[tuple[str, str]]:
    query = []
    for one in filters:
        if not isinstance(one, (tuple, list)) or len(one) != 3:
            raise ValueError(f'a filter is (key, "=" or "!=", value), not {one!r}')
        key, predicate, value = one
        if predicate not in ("=", "!="):
            raise ValueError(f'the predicate of a filter is "=" or "!=", not {predicate!r} (in {one!r})')
        text = str(value).lower() if isinstance(value, bool) else str(value)
        query += [("filter_keys", str(key)), ("filter_predicates", predicate), ("filter_values", text)]
    return query


def _got(kind: str, row: type[Row], id: str, address: str | None, timeout: float) -> Row | None:
    if not isinstance(id, str) or not id:
        raise ValueError(f"an id is a str as the lists show it, not {id!r}")
    try:
        return row.of(ask(address, timeout, [kind, id]))
    except NotThere:
        return None


def _summed(kind: str, address: str | None, timeout: float, raise_on_missing_output: bool) -> dict[str, Any]:
    told = ask(address, timeout, [kind, "summarize"])
    _raise_or_warn(kind, _missing(told), raise_on_missing_output)
    return dict(told["node_id_to_summary"])


def list_tasks(
    address: str | None = None,
    filters: Filters | None = None,
    limit: int = LIMIT,
    timeout: int = TIMEOUT,
    detail: bool = False,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> list[TaskState]:
    """Tasks that pass all `filters`, at most `limit`, as `TaskState`s. The arguments of all lists are the same:

    `address`: a data directory or "auto"; None: the head that this driver has joined, else `IOSDK_ADDRESS`, else
    "auto". `filters`: `(field, "=" or "!=", value)`. `timeout`: seconds. `detail`: every field is there without it.
    `raise_on_missing_output`: raise `RayStateApiException` when the answer is not whole (a process did not answer),
    or only warn. `_explain`: warn when `limit` cut the list. Raises `ConnectionError` when no head answers.
    """
    return _listed("tasks", TaskState, address, filters, limit, timeout, raise_on_missing_output, _explain)


def list_actors(
    address: str | None = None,
    filters: Filters | None = None,
    limit: int = LIMIT,
    timeout: int = TIMEOUT,
    detail: bool = False,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> list[ActorState]:
    """Actors that pass all `filters`, at most `limit`."""
    return _listed("actors", ActorState, address, filters, limit, timeout, raise_on_missing_output, _explain)


def list_objects(
    address: str | None = None,
    filters: Filters | None = None,
    limit: int = LIMIT,
    timeout: int = TIMEOUT,
    detail: bool = False,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> list[ObjectState]:
    """Objects that pass all `filters`, at most `limit`."""
    return _listed("objects", ObjectState, address, filters, limit, timeout, raise_on_missing_output, _explain)


def list_nodes(
    address: str | None = None,
    filters: Filters | None = None,
    limit: int = LIMIT,
    timeout: int = TIMEOUT,
    detail: bool = False,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> list[NodeState]:
    """Nodes that pass all `filters`, at most `limit`."""
    return _listed("nodes", NodeState, address, filters, limit, timeout, raise_on_missing_output, _explain)


def list_jobs(
    address: str | None = None,
    filters: Filters | None = None,
    limit: int = LIMIT,
    timeout: int = TIMEOUT,
    detail: bool = False,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> list[JobState]:
    """Jobs that pass all `filters`, at most `limit`."""
    return _listed("jobs", JobState, address, filters, limit, timeout, raise_on_missing_output, _explain)


def list_workers(
    address: str | None = None,
    filters: Filters | None = None,
    limit: int = LIMIT,
    timeout: int = TIMEOUT,
    detail: bool = False,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> list[WorkerState]:
    """Workers that pass all `filters`, at most `limit`."""
    return _listed("workers", WorkerState, address, filters, limit, timeout, raise_on_missing_output, _explain)


def get_task(id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False) -> TaskState | None:
    """The task with this id, None when the head knows none."""
    return _got("tasks", TaskState, id, address, timeout)


def get_actor(id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False) -> ActorState | None:
    """The actor with this id, None when the head knows none."""
    return _got("actors", ActorState, id, address, timeout)


def get_object(
    id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False
) -> ObjectState | None:
    """The object with this id, None when the head knows none."""
    return _got("objects", ObjectState, id, address, timeout)


def get_node(id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False) -> NodeState | None:
    """The node with this id, None when the head knows none."""
    return _got("nodes", NodeState, id, address, timeout)


def get_job(id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False) -> JobState | None:
    """The job with this id (a submission id will do), None when the head knows none."""
    return _got("jobs", JobState, id, address, timeout)


def get_worker(
    id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False
) -> WorkerState | None:
    """The worker with this id, None when the head knows none."""
    return _got("workers", WorkerState, id, address, timeout)


def get_objects(
    id: str, address: str | None = None, timeout: int = TIMEOUT, _explain: bool = False
) -> list[ObjectState]:
    """The object with this id as each process knows it that refers to it."""
    return list_objects(address, [("object_id", "=", id)], LIMIT_MAX, timeout, True, True, _explain)


def summarize_tasks(
    address: str | None = None,
    timeout: int = TIMEOUT,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> dict[str, Any]:
    """Tasks and actor calls of the whole cluster: `["cluster"]["summary"][name]["state_counts"]`."""
    return _summed("tasks", address, timeout, raise_on_missing_output)


def summarize_actors(
    address: str | None = None,
    timeout: int = TIMEOUT,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> dict[str, Any]:
    """Actors of the whole cluster: `["cluster"]["summary"][name]["state_counts"]`."""
    return _summed("actors", address, timeout, raise_on_missing_output)


def summarize_objects(
    address: str | None = None,
    timeout: int = TIMEOUT,
    raise_on_missing_output: bool = True,
    _explain: bool = False,
) -> dict[str, Any]:
    """Objects of the whole cluster: `["cluster"]["summary"][name]["state_counts"]`."""
    return _summed("objects", address, timeout, raise_on_missing_output)
