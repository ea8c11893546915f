"""Submitted jobs: run once, followed, told truthfully whatever was killed meanwhile, and nothing of them is lost."""

import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from heads import PROGRAM, Head
from probes import eventually

pytestmark = [pytest.mark.iosdk, pytest.mark.timeout(170)]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    running = Head(str(tmp_path_factory.mktemp("h")))
    yield running
    running.stop()


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_a_job_is_that_of_submit(head, code):
    done = head.submit("--", f"echo out; echo err >&2; exit {code}", code=code)
    assert "out\nerr\n" in done.stdout
    assert ("succeeded" if code == 0 else "failed") in done.stdout + done.stderr


def test_a_job_uses_the_head_that_runs_it(head, tmp_path):
    (tmp_path / "helper.py").write_text("WORD = 'from the working directory'\n")
    (tmp_path / "job.py").write_text(
        "import iosdk, os\n"
        "iosdk.init()\n"
        "@iosdk.remote\n"
        "def f():\n"
        "    import helper\n"
        "    return helper.WORD, os.environ['PLAIN'], os.environ['SECRET'][::-1] == '2retnuh'\n"
        "print(iosdk.get(f.remote()))\n"
    )
    words = ["--working-dir", str(tmp_path), "--env", "PLAIN=p", "--env", "SECRET", "--", sys.executable, "job.py"]
    done = head.submit(*words, env={"SECRET": "hunter2"})
    assert "('from the working directory', 'p', True)" in done.stdout
    for folder, _, files in os.walk(head.data):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    assert b"hunter2" not in file.read(), path
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                assert b"hunter2" not in file.read()
        except OSError:
            continue  # it ended meanwhile


def test_a_job_can_be_stopped(head):
    head.submit("--no-wait", "--submission-id", "long", "--", "trap '' TERM; echo on; sleep 100")
    eventually(lambda: head.job("long")["status"] == "RUNNING", 20, "the start")
    head.cli("job", "stop", "long")
    assert head.job("long")["status"] == "STOPPED"


def test_what_is_wrong_is_said(head):
    head.submit("--no-wait", "--submission-id", "once", "--", "true")
    assert "once" in head.submit("--no-wait", "--submission-id", "once", "--", "false", code=1).stderr
    assert "no-such" in head.cli("job", "status", "no-such", code=1).stderr
    too_many = head.submit("--entrypoint-num-cpus", "64", "--", "true", code=1)
    assert "64" in too_many.stderr


def test_jobs_wait_in_order_for_what_they_hold(head):
    names = [f"queue-{i}" for i in range(6)]
    for name in names:
        words = ["--no-wait", "--submission-id", name, "--entrypoint-num-cpus", "2", "--", "date +%s%N; sleep 0.2"]
        head.submit(*words)
    eventually(lambda: all(head.job(name)["status"] == "SUCCEEDED" for name in names), 60, "the end of all")
    began = [int(head.cli("job", "logs", name).stdout) for name in names]
    assert began == sorted(began)
    assert all(later - before >= 200_000_000 for before, later in itertools.pairwise(began))


def test_the_head_is_killed_again_and_again_and_every_job_is_told_truly(head):
    """CI has 40 jobs and 8 kills; `IOSDK_TEST_KILLS=50` gives each kill four jobs and prints what it saw (`-s`)."""
    kills = int(os.environ.get("IOSDK_TEST_KILLS", "8"))
    each = 5 if kills == 8 else 4
    chance = random.Random(kills)
    codes = {f"kill-{i}": chance.choice([0, 0, 1, 7]) for i in range(kills * each)}
    counting = f"for i in $(seq {kills * 8}); do echo $i; sleep 0.1; done"
    words = [PROGRAM, "job", "submit", "--submission-id", "runs-through", "--", counting]
    before = subprocess.Popen(words, env=head.env, stdout=subprocess.PIPE, text=True)
    eventually(lambda: head.cli("job", "status", "runs-through", code=None).returncode == 0, 20, "the long job")
    names, away = list(codes), []
    for at in range(kills):
        for name in names[at * each : at * each + each]:
            lines = f"for i in $(seq 200); do echo {name} $i; done; sleep 0.{chance.randrange(10)}; exit {codes[name]}"
            head.submit("--no-wait", "--submission-id", name, "--", lines)
        time.sleep(chance.random() / 4)  # a kill comes when it comes; nothing below relies on it
        away.append(head.kill_gcs())
    over = {"SUCCEEDED", "FAILED"}
    eventually(lambda: all(head.job(name)["status"] in over for name in names), 120, "the end of all")
    for name, code in codes.items():
        job = head.job(name)
        assert (job["status"], job["driver_exit_code"]) == ("SUCCEEDED" if code == 0 else "FAILED", code), job
        log = hashlib.sha256("".join(f"{name} {i}\n" for i in range(1, 201)).encode()).hexdigest()
        assert hashlib.sha256(head.cli("job", "logs", name).stdout.encode()).hexdigest() == log, name
    out, _ = before.communicate(timeout=120)
    assert before.returncode == 0
    assert [line for line in out.split("\n") if line.isdigit()] == [str(i) for i in range(1, kills * 8 + 1)]
    print(f"{kills} kills, {len(codes)} of {len(codes)} jobs told truly; away for {max(away):.2f} s at most")


def test_a_job_outlives_the_whole_head(tmp_path):
    head = Head(str(tmp_path))
    try:
        head.submit("--submission-id", "before", "--", "true")
        head.submit("--no-wait", "--submission-id", "survivor", "--", "echo begun; sleep 3; echo done; exit 5")
        eventually(lambda: head.job("survivor")["status"] == "RUNNING", 20, "the start")
        os.kill(head.pid(), signal.SIGKILL)
        eventually(lambda: head.cli("status", code=None).returncode == 3, 20, "the end of the head")
        with open(os.path.join(head.data, "jobs", "1", "held.json"), "w") as file:
            file.write("no JSON")  # what one job left behind keeps no node down
        head.start()
        assert head.job("before")["status"] == "SUCCEEDED"
        eventually(lambda: head.job("survivor")["status"] == "FAILED", 30, "the end of the job")
        assert head.job("survivor")["driver_exit_code"] == 5
        assert head.cli("job", "logs", "survivor").stdout == "begun\ndone\n"
    finally:
        head.stop()


def test_only_so_many_jobs_that_are_over_are_remembered(tmp_path):
    head = Head(str(tmp_path), "--keep-jobs", "2")
    try:
        for name in ("first", "second", "third"):
            head.submit("--submission-id", name, "--", f"echo {name}")
        assert [head.cli("job", "status", name, code=None).returncode for name in ("first", "second", "third")] == [
            1,
            0,
            0,
        ]
        jobs = os.path.join(head.data, "jobs")
        eventually(lambda: sorted(os.listdir(jobs)) == ["2", "3"], 20, "the removal of the first one's files")
        assert head.cli("job", "logs", "second").stdout == "second\n"
    finally:
        head.stop()
