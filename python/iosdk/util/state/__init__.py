"""The state API: tasks, actors, objects, nodes, jobs and workers of a head, as they are at this moment.

from iosdk.util.state import list_tasks, summarize_tasks

for task in list_tasks(filters=[("state", "=", "RUNNING")]):
    print(task.name, task.worker_pid)

The functions and their arguments are Ray's; what they raise is in `iosdk.util.state.exception`.
"""

from __future__ import annotations

from iosdk.util.state._queries import (
    get_actor,
    get_job,
    get_node,
    get_object,
    get_objects,
    get_task,
    get_worker,
    list_actors,
    list_jobs,
    list_nodes,
    list_objects,
    list_tasks,
    list_workers,
    summarize_actors,
    summarize_objects,
    summarize_tasks,
)
from iosdk.util.state.common import ActorState, JobState, NodeState, ObjectState, TaskState, WorkerState

__all__ = [
    "ActorState",
    "JobState",
    "NodeState",
    "ObjectState",
    "TaskState",
    "WorkerState",
    "get_actor",
    "get_job",
    "get_node",
    "get_object",
    "get_objects",
    "get_task",
    "get_worker",
    "list_actors",
    "list_jobs",
    "list_nodes",
    "list_objects",
    "list_tasks",
    "list_workers",
    "summarize_actors",
    "summarize_objects",
    "summarize_tasks",
]


def __getattr__(name: str) -> object:
    from iosdk import _not_yet

    if name in _not_yet.STATE:
        raise _not_yet.not_yet(f"iosdk.util.state.{name}", _not_yet.STATE[name])
    raise AttributeError(f"module 'iosdk.util.state' has no attribute {name!r}")
