"""What a head tells of what runs and what has ended: by the command line, and by `iosdk.util.state` beside it."""

import json
import os
import signal
import time

import pytest
from heads import Head
from probes import eventually

pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(150)]

# A process that does not answer is given up after two seconds; a bound is five times what is promised.
STUCK_SECONDS = 5 * 2.0

# On a node of two CPUs: `hold` runs twice, `queued` has no CPU left, `after` waits for its argument, an actor (which
# holds none) has answered one call and runs another, and one array is stored.
SCRIPT = """
import os, sys, time
import numpy, iosdk
iosdk.init(log_to_driver=False)
GO = sys.argv[1]

def until_go():
    while not os.path.exists(GO):
        time.sleep(0.02)
    return os.getpid()

@iosdk.remote
def hold():
    return until_go()

@iosdk.remote
def queued():
    return 0

@iosdk.remote
def after(value):
    return value

@iosdk.remote
class Counter:
    def add(self):
        return os.getpid()
    def stay(self):
        return until_go()

stored = iosdk.put(numpy.zeros(1 << 20, dtype=numpy.uint8))
counter = Counter.remote()
actor_pid = iosdk.get(counter.add.remote())
staying = counter.stay.remote()
held = [hold.remote() for _ in range(2)]
waiting = [queued.remote() for _ in range(3)]
last = after.remote(held[0])
print(os.getpid(), actor_pid, stored.hex(), waiting[0].task_id().hex(), counter._actor_id, flush=True)
iosdk.get([staying, last, *held, *waiting])
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    running = Head(str(tmp_path_factory.mktemp("h")))
    yield running
    running.stop()


class Busy:
    """The driver of SCRIPT, and what it says of itself."""

    def __init__(self, head, go):
        self.head, self.go = head, go
        script = f"import sys; sys.argv = ['busy', {str(go)!r}]\n{SCRIPT}"
        self.driver = head.driver(script)
        said = self.driver.stdout.readline().split()
        assert len(said) == 5, self.driver.communicate(timeout=60)
        self.pid, self.actor_pid = int(said[0]), int(said[1])
        self.stored, self.queued, self.actor = said[2:]

    def ends(self):
        self.go.touch()
        _, err = self.driver.communicate(timeout=60)
        assert self.driver.returncode == 0, err


@pytest.fixture(scope="module")
def busy(head, tmp_path_factory):
    running = Busy(head, tmp_path_factory.mktemp("go") / "go")
    try:
        eventually(lambda: len(rows(head, "tasks", "name=hold", "state=RUNNING")) == 2, 30, "both that hold a CPU")
        eventually(lambda: rows(head, "tasks", "name=Counter.stay", "state=RUNNING"), 30, "the actor's call")
        yield running
        running.ends()
    finally:
        running.go.touch()
        running.driver.kill()
        running.driver.communicate(timeout=60)


def rows(head, kind, *filters, more=()):
    words = [word for one in filters for word in ("--filter", one)]
    return json.loads(head.cli("list", kind, "--json", *words, *more).stdout)


def test_tasks_have_the_states_that_they_are_in(head, busy):
    (stay,) = rows(head, "tasks", "name=Counter.stay")
    assert (stay["state"], stay["type"], stay["worker_pid"]) == ("RUNNING", "ACTOR_TASK", busy.actor_pid)
    assert stay["actor_id"] == busy.actor
    hold = rows(head, "tasks", "name=hold")
    assert [task["state"] for task in hold] == ["RUNNING"] * 2
    assert len({task["worker_pid"] for task in hold}) == 2
    now = time.time() * 1000
    for task in hold:
        assert (task["type"], task["owner_pid"], task["end_time_ms"]) == ("NORMAL_TASK", busy.pid, None)
        assert now - 150_000 < task["creation_time_ms"] <= task["start_time_ms"] <= now + 1_000
        os.kill(task["worker_pid"], 0)
    queued = rows(head, "tasks", "name=queued")
    # A worker may have been given one ahead of its time.
    assert len(queued) == 3 and {task["state"] for task in queued} <= {"PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER"}
    assert "PENDING_NODE_ASSIGNMENT" in {task["state"] for task in queued}
    assert [task["state"] for task in rows(head, "tasks", "name=after")] == ["PENDING_ARGS_AVAIL"]
    text = head.cli("list", "tasks", "--filter", "name=after").stdout.split("\t")
    assert text[1:4] == ["PENDING_ARGS_AVAIL", "NORMAL_TASK", "-"] and text[-1] == "after\n"


def test_filters_and_limits(head, busy):
    assert {task["name"] for task in rows(head, "tasks", "state=RUNNING")} == {"hold", "Counter.stay"}
    live = rows(head, "tasks", "state!=FINISHED", "name!=hold", "name!=queued")
    assert sorted(task["name"] for task in live) == ["Counter.stay", "after"]
    assert rows(head, "tasks", "name=nothing") == []
    cut = head.cli("list", "tasks", "--filter", "name=hold", "--limit", "1", "--json")
    assert len(json.loads(cut.stdout)) == 1 and "1 of 2 shown; --limit" in cut.stderr
    unknown = head.cli("list", "tasks", "--filter", "nme=hold", code=1)
    assert "nme" in unknown.stderr and "worker_pid" in unknown.stderr  # the keys that there are
    head.cli("list", "tasks", "--limit", "10001", code=2)


def test_an_actor_an_object_and_the_processes(head, busy):
    (actor,) = rows(head, "actors", "state=ALIVE")
    assert (actor["actor_id"], actor["class_name"], actor["pid"]) == (busy.actor, "Counter", busy.actor_pid)
    assert actor["owner_pid"] == busy.pid
    stored = rows(head, "objects", f"object_id={busy.stored}")
    assert {row["location"] for row in stored} == {"ARENA"} and {row["state"] for row in stored} == {"READY"}
    (mine,) = [row for row in stored if row["pid"] == busy.pid]
    assert mine["owner_pid"] == busy.pid and mine["handles"] == 1
    assert 1 << 20 <= mine["object_size"] < 1 << 21
    workers = {worker["pid"]: worker for worker in rows(head, "workers")}
    assert workers[busy.pid]["worker_type"] == "DRIVER"
    assert (workers[busy.actor_pid]["worker_type"], workers[busy.actor_pid]["actor_id"]) == ("ACTOR", busy.actor)
    for task in rows(head, "tasks", "name=hold"):
        worker = workers[task["worker_pid"]]
        assert (worker["worker_type"], worker["state"]) == ("WORKER", "LEASED")
        assert worker["resources"]["CPU"] == 1.0
    (node,) = rows(head, "nodes")
    assert (node["state"], node["is_head_node"], node["resources_total"]["CPU"]) == ("ALIVE", True, 2.0)
    assert node["resources_available"].get("CPU", 0.0) == 0.0


def test_one_by_its_id(head, busy):
    (after,) = rows(head, "tasks", "name=after")
    again = json.loads(head.cli("get", "tasks", after["task_id"], "--json").stdout)
    assert (again["task_id"], again["name"], again["state"]) == (after["task_id"], "after", "PENDING_ARGS_AVAIL")
    assert "Counter" in head.cli("get", "actor", busy.actor).stdout
    assert json.loads(head.cli("get", "objects", busy.stored, "--json").stdout)["object_id"] == busy.stored
    head.submit("--submission-id", "short", "--", "true")
    assert json.loads(head.cli("get", "jobs", "short", "--json").stdout)["status"] == "SUCCEEDED"
    for kind, id in [("tasks", "0" * 48), ("actors", "0" * 32), ("objects", "0" * 56), ("jobs", "nobody")]:
        assert id in head.cli("get", kind, id, code=1).stderr, kind
    assert "0" * 48 in head.cli("explain", "0" * 48, code=1).stderr
    head.cli("get", "tasks", "no hex", code=1)


def test_explain_says_what_is_waited_for_and_who_holds_it(head, busy):
    waiting = rows(head, "tasks", "state=PENDING_NODE_ASSIGNMENT")[0]["task_id"]
    told = json.loads(head.cli("explain", waiting, "--json").stdout)
    assert (told["id"], told["kind"], told["state"]) == (waiting, "task", "PENDING_NODE_ASSIGNMENT")
    text = " ".join(told["lines"])
    assert "CPU" in text, text
    holders = [task["worker_pid"] for task in rows(head, "tasks", "name=hold")]
    assert all(str(pid) in text for pid in holders), (holders, text)
    (after,) = rows(head, "tasks", "name=after")
    shown = head.cli("explain", after["task_id"]).stdout
    assert shown.startswith(f"task {after['task_id']}: PENDING_ARGS_AVAIL\n  "), shown
    for id, kind in [(busy.actor, "actor"), (busy.stored, "object")]:
        told = json.loads(head.cli("explain", id, "--json").stdout)
        assert told["kind"] == kind and told["lines"], told


def test_summaries_count(head, busy):
    told = json.loads(head.cli("summary", "tasks", "--json").stdout)["summary"]
    assert told["hold"]["state_counts"] == {"RUNNING": 2}
    assert told["after"]["state_counts"] == {"PENDING_ARGS_AVAIL": 1}
    assert sum(told["queued"]["state_counts"].values()) == 3
    lines = [line.split("\t") for line in head.cli("summary", "actors").stdout.splitlines()]
    assert ["1", "ALIVE"] in [line[:2] for line in lines if line[3] == "Counter"]
    assert json.loads(head.cli("summary", "objects", "--json").stdout)["total_objects"] > 0


def test_python_sees_the_same(head, busy):
    script = """
import iosdk
from iosdk.util import state
assert not iosdk.is_initialized()
names = sorted(task.name for task in state.list_tasks(filters=[("state", "=", "RUNNING")]))
(actor,) = state.list_actors(filters=[("state", "=", "ALIVE")])
assert state.get_actor(actor.actor_id)["pid"] == actor.pid
assert state.get_task("0" * 48) is None
assert state.list_nodes()[0].is_head_node is True
assert state.summarize_tasks()["cluster"]["summary"]["hold"]["state_counts"] == {"RUNNING": 2}
iosdk.init(log_to_driver=False)   # a driver sees the head that it has joined
assert "DRIVER" in {worker.worker_type for worker in state.list_workers()}
print(*names, actor.class_name, state.list_jobs() is not None)
"""
    out, err = (other := head.driver(script)).communicate(timeout=60)
    assert other.returncode == 0, err
    assert out.split() == ["Counter.stay", "hold", "hold", "Counter", "True"]


def test_a_process_that_stands_still_is_named_and_nothing_hangs(head, busy):
    stopped = rows(head, "tasks", "name=hold")[0]["worker_pid"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        began = time.monotonic()
        listed = head.cli("list", "tasks", "--json")
        assert time.monotonic() - began < STUCK_SECONDS
        assert str(stopped) in listed.stderr, listed
        # Their owner is another process, which knows them.
        assert len([task for task in json.loads(listed.stdout) if task["name"] == "hold"]) == 2
        script = """
import warnings
from iosdk.util import state
from iosdk.util.state.exception import RayStateApiException
try:
    state.list_objects()
except RayStateApiException as partial:
    print(partial)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert state.list_objects(raise_on_missing_output=False)
print(*[warning.message for warning in caught])
"""
        out, err = (other := head.driver(script)).communicate(timeout=60)
        assert other.returncode == 0, err
        assert [str(stopped) in line for line in out.splitlines()] == [True, True], out
    finally:
        os.kill(stopped, signal.SIGCONT)
    eventually(lambda: str(stopped) not in head.cli("list", "tasks").stderr, STUCK_SECONDS, "an answer of all")


ENDING = """
import time
import iosdk
iosdk.init(log_to_driver=False)

@iosdk.remote(num_cpus=0)
class Brief:
    def work(self):
        return 1

brief = Brief.remote()
kept = iosdk.put(bytes(1 << 20))
iosdk.get(brief.work.remote())
print(flush=True)
time.sleep(100)
"""


def test_what_has_ended_is_not_told_as_live(head):
    driver = head.driver(ENDING)
    assert driver.stdout.readline() == "\n", driver.communicate(timeout=60)
    mine = f"owner_pid={driver.pid}"
    assert rows(head, "actors", mine, "state=ALIVE") and rows(head, "objects", mine)
    assert rows(head, "workers", f"pid={driver.pid}")
    driver.kill()
    driver.communicate(timeout=60)
    for kind, gone in [
        ("actors", [mine, "state!=DEAD"]),
        ("objects", [mine]),
        ("workers", [f"pid={driver.pid}"]),
        ("tasks", [mine, "state!=FINISHED", "state!=FAILED"]),
    ]:
        eventually(lambda kind=kind, gone=gone: rows(head, kind, *gone) == [], 10, f"the end of its {kind}")


# Other tests' tasks still hold both CPUs.
OVER = """
import iosdk
iosdk.init(log_to_driver=False)

@iosdk.remote(num_cpus=0)
def good():
    return 1

@iosdk.remote(num_cpus=0, max_retries=0)
def bad():
    raise ValueError("on purpose")

iosdk.get([good.remote() for _ in range(3)])
print(iosdk.get_runtime_context().get_job_id(), flush=True)
iosdk.get(bad.remote())
"""


def test_tasks_that_have_ended_are_told_with_how(head):
    """By the node's history, so also when nobody is left who owned them."""
    driver = head.driver(OVER)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 1 and "on purpose" in err
    mine = f"job_id={out.strip()}"
    eventually(lambda: len(rows(head, "tasks", mine)) == 4, STUCK_SECONDS, "the history of all four")
    good = rows(head, "tasks", mine, "state=FINISHED")
    assert [task["name"] for task in good] == ["good"] * 3
    for task in good:
        assert task["creation_time_ms"] <= task["start_time_ms"] <= task["end_time_ms"] and task["worker_pid"] > 0
    (bad,) = rows(head, "tasks", mine, "state=FAILED")
    assert (bad["name"], bad["error_type"]) == ("bad", "TASK_EXECUTION_EXCEPTION")
    assert rows(head, "tasks", mine, "state!=FAILED", "name=bad") == []
    assert len(rows(head, "tasks", mine, f"worker_pid={bad['worker_pid']}", "name=bad")) == 1
    assert json.loads(head.cli("get", "tasks", bad["task_id"], "--json").stdout) == bad
    told = json.loads(head.cli("explain", bad["task_id"], "--json").stdout)
    assert told["state"] == "FAILED" and "it raised an exception" in told["lines"][0], told
    summary = json.loads(head.cli("summary", "tasks", "--json").stdout)["summary"]
    assert summary["good"]["state_counts"] == {"FINISHED": 3} and summary["bad"]["state_counts"] == {"FAILED": 1}
    cut = head.cli("list", "tasks", "--filter", mine, "--limit", "1", "--json")
    assert [task["name"] for task in json.loads(cut.stdout)] == ["bad"], "the last one first"
    head.kill_gcs()
    assert len(rows(head, "tasks", mine)) == 4
