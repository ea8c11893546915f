"""What a job used, as the head tells it: no less than it surely held, no more than there was, and never forgotten."""

import json
import os
import signal
import sys
import time

import pytest
from heads import Head
from probes import eventually

pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(170)]

PARTS = 10_000  # of a CPU
CPUS = 2

JOB = """
import json, os, sys, time
began = time.monotonic_ns()
import iosdk
iosdk.init()

@iosdk.remote
def burn(seconds):
    began, until = time.monotonic_ns(), time.process_time() + seconds
    while time.process_time() < until:
        pass
    return time.monotonic_ns() - began

@iosdk.remote(num_cpus=0.5)
class Holder:
    def since(self):
        return time.monotonic_ns()

holder = Holder.remote()
since = iosdk.get(holder.since.remote())
in_tasks = sum(iosdk.get([burn.remote(0.3) for _ in range(5)]))
with open("told.tmp", "w") as file:
    now = time.monotonic_ns()
    json.dump({"tasks": in_tasks, "actor": now - since, "entrypoint": now - began}, file)
os.rename("told.tmp", sys.argv[1])
while not os.path.exists(sys.argv[2]):
    iosdk.get(holder.since.remote())
    time.sleep(0.02)
print("since", since, "until", iosdk.get(holder.since.remote()))
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    running = Head(str(tmp_path_factory.mktemp("h")))
    yield running
    running.stop()


def usage(head, job):
    """The numbers of this job, exact; zeros before any are there."""
    rows = json.loads(head.cli("usage", job, "--json").stdout)
    assert len(rows) < 2
    names = ("cpu_amount_ns", "gpu_amount_ns", "memory_amount_ns", "cpu_used_ns")
    return {name: int(rows[0][name]) if rows else 0 for name in names}


def test_a_job_is_charged_what_it_held_and_a_killed_gcs_forgets_nothing(head, tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    told, go = tmp_path / "told", tmp_path / "go"
    began = time.monotonic_ns()
    words = ["--no-wait", "--submission-id", "work", "--entrypoint-num-cpus", "0.5", "--working-dir", str(tmp_path)]
    head.submit(*words, "--", sys.executable, "job.py", str(told), str(go))
    eventually(told.exists, 60, "the tasks' end")
    surely = json.loads(told.read_text())
    least = surely["tasks"] * PARTS + (surely["actor"] + surely["entrypoint"]) * PARTS // 2

    def is_all_booked():
        now = usage(head, "work")
        # The entrypoint's own time is told at its end; the tasks' is known once their leases are returned.
        return now["cpu_amount_ns"] >= least and now["cpu_used_ns"] >= 1_300_000_000

    eventually(is_all_booked, 30, "the account of what ran")
    before = usage(head, "work")
    head.kill_gcs()
    open_still = usage(head, "work")
    assert all(open_still[name] >= before[name] for name in before)
    go.touch()
    eventually(lambda: head.job("work")["status"] == "SUCCEEDED", 60, "the end of the job")
    _, since, _, until = head.cli("job", "logs", "work").stdout.split()
    held = (int(until) - int(since)) * PARTS
    eventually(lambda: usage(head, "work")["cpu_amount_ns"] >= held, 30, "the last lines of the account")
    whole = usage(head, "work")
    head.kill_gcs()
    after = usage(head, "work")
    assert all(after[name] >= whole[name] for name in whole)
    there_was = CPUS * PARTS * (time.monotonic_ns() - began)
    assert held <= after["cpu_amount_ns"] <= there_was
    assert after["cpu_used_ns"] <= there_was // PARTS
    assert after["gpu_amount_ns"] == 0


def test_a_job_without_python_is_counted_too(head):
    began = time.monotonic_ns()
    head.submit("--submission-id", "plain", "--entrypoint-num-cpus", "1", "--", "sleep 0.3")
    eventually(lambda: usage(head, "plain")["cpu_amount_ns"] >= 300_000_000 * PARTS, 30, "its account")
    assert usage(head, "plain")["cpu_amount_ns"] <= (time.monotonic_ns() - began) * PARTS
    # One that holds nothing is in the list, with the time that it used.
    head.submit("--submission-id", "light", "--", f"{sys.executable} -c 'sum(range(3_000_000))'")
    eventually(lambda: usage(head, "light")["cpu_used_ns"] > 0, 30, "its account")
    assert usage(head, "light")["cpu_amount_ns"] == 0


def test_an_interactive_driver_has_a_line_of_its_own(head):
    script = (
        "import iosdk; iosdk.init(); f = iosdk.remote(lambda: __import__('time').sleep(0.2)); iosdk.get(f.remote())"
    )
    driver = head.driver(script)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 0, err

    def drivers():
        rows = json.loads(head.cli("usage", "--json").stdout)
        return [int(row["cpu_amount_ns"]) for row in rows if row["submission_id"].startswith("driver:")]

    eventually(lambda: sum(drivers()) >= 200_000_000 * PARTS, 30, "its account")


def test_a_killed_node_loses_the_last_second_at_most(tmp_path):
    script = """
import iosdk, time
iosdk.init(log_to_driver=False)

@iosdk.remote
class Holder:
    def since(self):
        return time.monotonic_ns()

holder = Holder.options(num_cpus=2).remote()
print(iosdk.get(holder.since.remote()), flush=True)
time.sleep(100)
"""
    head = Head(str(tmp_path))
    began = time.monotonic_ns()
    try:
        driver = head.driver(script)
        since = int(driver.stdout.readline())

        def told():
            rows = json.loads(head.cli("usage", "--json").stdout)
            return sum(int(row["cpu_amount_ns"]) for row in rows) // (2 * PARTS)

        eventually(lambda: told() >= 2_000_000_000, 30, "two seconds of the actor")
        asked = time.monotonic_ns()
        before = told()
        assert asked - since - before <= 5 * 1_000_000_000  # five times what is promised
        os.kill(head.pid(), signal.SIGKILL)
        eventually(lambda: head.cli("status", code=None).returncode == 3, 20, "the end of the head")
        driver.kill()
        driver.communicate(timeout=60)
        head.start()
        assert before <= told() <= time.monotonic_ns() - began
    finally:
        head.stop()
