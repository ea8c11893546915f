"""`get_runtime_context` in the driver, in tasks and in actors."""

import pytest

HEX = set("0123456789abcdef")


def test_in_the_driver(rt):
    context = rt.get_runtime_context()
    assert len(context.get_job_id()) == 8 and len(context.get_node_id()) == 56 and len(context.get_worker_id()) == 56
    assert set(context.get_job_id() + context.get_node_id() + context.get_worker_id()) <= HEX
    assert context.get_actor_id() is None
    assert context.get_node_id() == rt.nodes()[0]["NodeID"]
    assert context.get_session_name() and context.namespace


def test_in_a_task(rt):
    @rt.remote
    def look():
        context = rt.get_runtime_context()
        return {
            "job": context.get_job_id(),
            "node": context.get_node_id(),
            "worker": context.get_worker_id(),
            "task": context.get_task_id(),
            "name": context.get_task_name(),
            "actor": context.get_actor_id(),
            "resources": context.get_assigned_resources(),
        }

    mine = rt.get_runtime_context()
    ref = look.remote()
    seen = rt.get(ref)
    assert (
        seen["job"] == mine.get_job_id()
        and seen["node"] == mine.get_node_id()
        and seen["worker"] != mine.get_worker_id()
    )
    assert seen["task"] == ref.task_id().hex()
    assert seen["actor"] is None and seen["resources"] == {"CPU": 1.0}
    assert seen["name"].endswith("look")


def test_names_of_functions(rt):
    @rt.remote
    def look():
        context = rt.get_runtime_context()
        return context.get_task_name(), context.get_task_function_name()

    name, function = rt.get(look.options(name="given").remote())
    assert name == "given" and function.endswith("look")


def test_assigned_resources(rt):
    @rt.remote(num_cpus=0.5)
    def look():
        return rt.get_runtime_context().get_assigned_resources()

    assert rt.get(look.remote()) == {"CPU": 0.5}


def test_in_an_actor(rt):
    @rt.remote
    class Actor:
        def look(self):
            context = rt.get_runtime_context()
            return {
                "actor": context.get_actor_id(),
                "task": context.get_task_id(),
                "name": context.get_task_name(),
                "function": context.get_task_function_name(),
                "resources": context.get_assigned_resources(),
            }

    actor = Actor.remote()
    seen = rt.get(actor.look.remote(), timeout=60)
    again = rt.get(actor.look.remote())
    assert seen["actor"] == again["actor"] and seen["actor"] in repr(actor) and len(seen["actor"]) == 32
    assert seen["task"] != again["task"] and len(seen["task"]) == 48
    assert seen["name"] == "Actor.look" and seen["function"].endswith("Actor.look")
    assert seen["resources"] == {}


def test_task_ids_differ(rt):
    @rt.remote
    def look():
        return rt.get_runtime_context().get_task_id()

    assert len(set(rt.get([look.remote() for _ in range(200)]))) == 200


def test_what_a_driver_has_not(rt):
    context = rt.get_runtime_context()
    assert context.get_task_id() is None
    with pytest.raises(RuntimeError):
        _ = context.current_actor
