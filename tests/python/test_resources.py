"""Resources: what the cluster has, what is taken and given back, what can never be met."""

import pytest
from probes import eventually, wait_for_file

START = {"num_cpus": 2, "num_gpus": 2, "resources": {"slot": 2, "part": 1}, "infeasible": "raise"}


def test_the_cluster_says_what_it_has(rt):
    total = rt.cluster_resources()
    assert total["CPU"] == 2.0 and total["GPU"] == 2.0 and total["slot"] == 2.0 and total["part"] == 1.0
    assert total["memory"] > 0 and total["object_store_memory"] > 0
    assert [value for key, value in total.items() if key.startswith("node:") and "head" not in key] == [1.0]


def test_nodes(rt):
    (node,) = rt.nodes()
    assert node["Alive"] is True and len(node["NodeID"]) == 56
    assert node["Resources"]["CPU"] == 2.0 and node["Resources"]["slot"] == 2.0
    assert node["NodeManagerAddress"] and node["NodeManagerHostname"]


def free(rt, name):
    return rt.available_resources().get(name, 0.0)


@pytest.mark.parametrize(
    "request_, name, left",
    [
        ({"num_cpus": 1}, "CPU", 1.0),
        ({"num_cpus": 1.5}, "CPU", 0.5),
        ({"num_cpus": 0, "resources": {"slot": 1}}, "slot", 1.0),
        ({"num_cpus": 0, "num_gpus": 0.25}, "GPU", 1.75),
        ({"num_cpus": 0, "resources": {"part": 0.1234}}, "part", 0.8766),
    ],
    ids=["cpu", "cpu-fraction", "custom", "gpu-fraction", "small-fraction"],
)
def test_what_a_task_takes_it_gives_back(rt, flag, request_, name, left):
    @rt.remote(**request_)
    def hold():
        wait_for_file(flag)

    full = rt.cluster_resources()[name]
    eventually(lambda: free(rt, name) == full, 30, "everything free")
    ref = hold.remote()
    eventually(lambda: free(rt, name) == pytest.approx(left), 30, f"{left} of {name} left")
    flag.touch()
    rt.get(ref, timeout=60)
    eventually(lambda: free(rt, name) == full, 30, "everything free again")


def test_what_an_actor_takes_it_gives_back(rt):
    @rt.remote(num_cpus=1, resources={"slot": 2})
    class Holder:
        def work(self):
            return 1

    holder = Holder.remote()
    rt.get(holder.work.remote(), timeout=60)
    eventually(lambda: free(rt, "slot") == 0 and free(rt, "CPU") == 1.0, 30, "held resources")
    del holder
    eventually(lambda: free(rt, "slot") == 2.0 and free(rt, "CPU") == 2.0, 30, "everything free again")


def test_a_default_actor_holds_nothing(rt):
    @rt.remote
    class Light:
        def work(self):
            return 1

    actors = [Light.remote() for _ in range(4)]
    assert rt.get([actor.work.remote() for actor in actors], timeout=80) == [1] * 4
    eventually(lambda: free(rt, "CPU") == 2.0, 30, "free CPUs")


def test_resources_of_the_dead_come_back(rt):
    import os
    import signal

    @rt.remote(num_cpus=0, resources={"slot": 2}, max_retries=0)
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        with pytest.raises(rt.exceptions.WorkerCrashedError):
            rt.get(die.remote(), timeout=60)
    eventually(lambda: free(rt, "slot") == 2.0, 30, "a free slot")


def test_never_more_than_there_is(rt, tmp_path):
    @rt.remote(num_cpus=0, resources={"slot": 1})
    def inside(i):
        import os

        (tmp_path / str(i)).touch()
        count = len(os.listdir(tmp_path))
        (tmp_path / str(i)).unlink()
        return count

    assert max(rt.get([inside.remote(i) for i in range(60)], timeout=80)) <= 2


def test_fractions_do_not_drift(rt):
    @rt.remote(num_cpus=0, resources={"part": 0.0001})
    def tiny():
        return 1

    assert sum(rt.get([tiny.remote() for _ in range(300)], timeout=80)) == 300
    eventually(lambda: free(rt, "part") == 1.0, 30, "exactly what there was")


IMPOSSIBLE = [
    {"num_cpus": 64},
    {"num_gpus": 3},
    {"resources": {"nowhere": 1}},
    {"num_cpus": 0, "resources": {"part": 2}},
]


@pytest.mark.iosdk
@pytest.mark.parametrize("request_", IMPOSSIBLE, ids=repr)
def test_what_can_never_be_met_raises(rt, request_):
    @rt.remote
    def function():
        return 1

    with pytest.raises(rt.exceptions.TaskUnschedulableError) as caught:
        rt.get(function.options(**request_).remote(), timeout=5)
    name = (
        next(iter(request_.get("resources", {})))
        if "resources" in request_
        else ("GPU" if "num_gpus" in request_ else "CPU")
    )
    assert name in str(caught.value)
    assert rt.get(function.remote(), timeout=30) == 1


@pytest.mark.iosdk
@pytest.mark.parametrize("request_", IMPOSSIBLE, ids=repr)
def test_an_actor_that_can_never_be_placed_raises(rt, request_):
    @rt.remote
    class Actor:
        def work(self):
            return 1

    with pytest.raises(rt.exceptions.ActorUnschedulableError):
        rt.get(Actor.options(**request_).remote().work.remote(), timeout=5)


def test_infeasible_wait(api, start):
    rt = start(infeasible="wait")

    @rt.remote
    def function():
        return 1

    waits = function.options(num_cpus=64).remote()
    assert rt.wait([waits], timeout=0.5) == ([], [waits])
    assert rt.get(function.remote(), timeout=60) == 1
    rt.cancel(waits)
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(waits, timeout=30)
