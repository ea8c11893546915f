"""The rows of the state API, with Ray's names. Not known is None, times are milliseconds since 1970, ids are hex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

Row = TypeVar("Row", bound="StateSchema")


class StateSchema:
    """A row: its fields are attributes, and items as of a dict."""

    @classmethod
    def of(cls: type[Row], told: Mapping[str, Any]) -> Row:
        """What a head told; what a later release tells beyond that is left out."""
        return cls(**{field.name: told.get(field.name) for field in fields(cls)})  # type: ignore[arg-type]

    def asdict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key, default)

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self, key)
        except AttributeError:
            raise KeyError(key) from None


@dataclass
class TaskState(StateSchema):
    """A task, or a call of an actor; `owner_pid`: the process that made it, `worker_pid`: the one that has it."""

    task_id: str
    attempt_number: int
    name: str
    type: str
    state: str
    job_id: str | None
    actor_id: str | None
    node_id: str | None
    owner_pid: int | None
    worker_pid: int | None
    retries_left: int | None
    creation_time_ms: int | None
    start_time_ms: int | None
    end_time_ms: int | None
    error_type: str | None
    error_message: str | None


@dataclass
class ActorState(StateSchema):
    """An actor; `resources`: what it holds."""

    actor_id: str
    class_name: str
    state: str
    job_id: str | None
    node_id: str | None
    pid: int | None
    owner_pid: int | None
    resources: dict[str, float] | None
    death_cause: str | None


@dataclass
class ObjectState(StateSchema):
    """An object as the process `pid` knows it; `handles`: references of user code, `uses`: tasks and objects that need
    it, `borrowers`: processes it is lent to."""

    object_id: str
    state: str
    location: str | None
    object_size: int | None
    owner_pid: int | None
    pid: int | None
    handles: int | None
    uses: int | None
    borrowers: int | None
    job_id: str | None
    node_id: str | None


@dataclass
class NodeState(StateSchema):
    """A node, and what it has."""

    node_id: str
    node_name: str | None
    state: str
    resources_total: dict[str, float] | None
    resources_available: dict[str, float] | None
    is_head_node: bool | None


@dataclass
class JobState(StateSchema):
    """A submitted job, or a driver that nobody submitted (`submission_id` is None)."""

    job_id: str | None
    submission_id: str | None
    status: str
    entrypoint: str | None
    start_time: int | None
    end_time: int | None
    driver_exit_code: int | None
    message: str | None


@dataclass
class WorkerState(StateSchema):
    """A process of a cluster: a driver, a worker for tasks, or an actor's."""

    worker_id: str
    worker_type: str
    pid: int | None
    node_id: str | None
    job_id: str | None
    state: str
    resources: dict[str, float] | None
    actor_id: str | None
