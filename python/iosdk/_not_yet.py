"""What Ray has and iosdk does not have yet: one table, from which the errors and the README's list are made.

Whatever is named here raises `NotImplementedError` with its own name when it is used; nothing is accepted and ignored.
"""

from __future__ import annotations

# Names of the top level (`iosdk.<name>`), and what they are for.
NAMES = {
    "get_actor": "named actors",
    "get_gpu_ids": "assigning GPUs by index",
    "timeline": "the task timeline",
    "client": "remote drivers",
    "cross_language": "tasks of other languages",
    "java_function": "tasks of other languages",
    "java_actor_class": "tasks of other languages",
    "cpp_function": "tasks of other languages",
    "runtime_env": "runtime environments",
    "job_config": "job configuration",
    "JobConfig": "job configuration",
    "LoggingConfig": "structured logging",
    "ObjectRefGenerator": "streaming generators",
    "DynamicObjectRefGenerator": "dynamic generators",
    "data": "Ray Data",
    "train": "Ray Train",
    "tune": "Ray Tune",
    "serve": "Ray Serve",
    "rllib": "RLlib",
    "dag": "task graphs",
    "autoscaler": "the autoscaler",
    "experimental": "experimental APIs",
    "internal": "internal APIs",
    "state": "Ray's internal state module; what runs on a head is told by `iosdk.util.state`",
}

# Names of `iosdk.util`.
UTIL = {
    "ActorPool": "the actor pool",
    "accelerators": "accelerator types",
    "actor_group": "actor groups",
    "actor_pool": "the actor pool",
    "annotations": "annotations of Ray's own API",
    "check_serialize": "inspecting what pickles",
    "collective": "collective communication",
    "connect": "remote drivers",
    "dask": "Dask on tasks",
    "debug": "logging once and in periods",
    "debugpy": "the debugger",
    "deregister_serializer": "custom serializers",
    "disable_log_once_globally": "logging once and in periods",
    "disconnect": "remote drivers",
    "enable_periodic_logging": "logging once and in periods",
    "get_current_placement_group": "placement groups",
    "get_node_instance_id": "instances of a cloud",
    "get_node_ip_address": "addresses of nodes",
    "get_placement_group": "placement groups",
    "inspect_serializability": "inspecting what pickles",
    "iter": "parallel iterators",
    "joblib": "joblib on tasks",
    "list_named_actors": "named actors",
    "log_once": "logging once and in periods",
    "metrics": "metrics",
    "multiprocessing": "multiprocessing.Pool on actors",
    "pdb": "the debugger",
    "placement_group": "placement groups",
    "placement_group_table": "placement groups",
    "queue": "the queue",
    "register_serializer": "custom serializers",
    "remove_placement_group": "placement groups",
    "rpdb": "the debugger",
    "scheduling_strategies": "scheduling strategies other than DEFAULT",
    "spark": "Ray on Spark",
    "tracing": "tracing",
}

# Names of `iosdk.util.state`.
STATE = {
    "StateApiClient": "Ray's client class; its functions are there",
    "get_log": "logs of workers; `iosdk job logs` shows those of jobs",
    "get_placement_group": "placement groups",
    "list_cluster_events": "cluster events",
    "list_logs": "logs of workers; `iosdk job logs` shows those of jobs",
    "list_placement_groups": "placement groups",
    "list_runtime_envs": "runtime environments",
}

# Options of tasks, actors and methods.
OPTIONS = {
    "accelerator_type": "choosing nodes by accelerator",
    "label_selector": "choosing nodes by label",
    "fallback_strategy": "choosing nodes by label",
    "scheduling_strategy": "scheduling strategies other than DEFAULT",
    "placement_group": "placement groups",
    "placement_group_bundle_index": "placement groups",
    "placement_group_capture_child_tasks": "placement groups",
    "runtime_env": "runtime environments",
    "_labels": "labels",
    "max_calls": "workers that end after some calls",
    "num_returns": "streaming and dynamic generators",
    "_generator_backpressure_num_objects": "streaming generators",
    "_actor_generator_backpressure_num_objects": "streaming generators",
    "_num_objects_per_yield": "streaming generators",
    "name": "named actors and named method calls",
    "namespace": "named actors",
    "get_if_exists": "named actors",
    "lifetime": "detached actors",
    "object_store_memory": "reserving object store memory",
    "max_concurrency": "threaded and async actors",
    "concurrency_groups": "concurrency groups",
    "concurrency_group": "concurrency groups",
    "max_restarts": "restarting actors",
    "max_task_retries": "retrying actor calls",
    "retry_exceptions": "retrying actor calls",
    "max_pending_calls": "bounding an actor's queue",
    "allow_out_of_order_execution": "out-of-order actors",
    "enable_tensor_transport": "direct tensor transport",
    "tensor_transport": "direct tensor transport",
}

# Keyword arguments of `init`.
INIT = {
    "labels": "node labels",
    "include_dashboard": "the dashboard",
    "dashboard_host": "the dashboard",
    "dashboard_port": "the dashboard",
    "job_config": "job configuration",
    "logging_config": "structured logging",
    "runtime_env": "runtime environments",
    "enable_resource_isolation": "resource isolation by cgroup",
    "cgroup_path": "resource isolation by cgroup",
    "system_reserved_cpu": "resource isolation by cgroup",
    "system_reserved_memory": "resource isolation by cgroup",
    "proxy_server_url": "a proxy before the dashboard",
    "object_spilling_directory": "spilling objects to disk",
    "_enable_object_reconstruction": "rebuilding lost objects",
    "_plasma_directory": "choosing the store's directory",
    "_node_ip_address": "choosing the node's address",
    "_redis_username": "Redis",
    "_redis_password": "Redis",
    "_metrics_export_port": "exporting metrics",
    "_system_config": "system configuration",
    "_tracing_startup_hook": "tracing",
    "_node_name": "naming nodes",
}

# Ways of using what is there.
OTHERS = {
    "async methods": "actors with `async def` methods",
    "streaming generators": "generator functions and methods without a fixed `num_returns`",
    "bind": "task graphs: `.bind()` of functions, classes and methods",
    "current_actor": "`get_runtime_context().current_actor`",
}


def not_yet(what: str, why: str) -> NotImplementedError:
    """The error for using `what` (e.g. "option max_restarts=1"); `why` says what it belongs to."""
    return NotImplementedError(f"{what} is not there yet in iosdk ({why}).")
