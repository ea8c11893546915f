"""Rows of a standing head: how soon a job speaks, how many go through the queue, what waiting jobs cost in memory.

Both are asked over the same HTTP routes, those of Ray's job server.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import measure

from . import Row
from .footprint import marked, settled

OVER = {"SUCCEEDED", "FAILED", "STOPPED"}


class Standing:
    """A head of the target in a folder of its own, with two CPUs."""

    def __init__(self, target, folder):
        self.headers = {"Content-Type": "application/json"}
        program = os.path.join(os.path.dirname(sys.executable), target)
        self.env = dict(os.environ, IOSDK_DATA_DIR=os.path.join(folder, "head"), XDG_STATE_HOME=folder)
        if target == "ray":
            port = free_port()
            words = ["start", "--head", "--port=0", f"--dashboard-port={port}", "--num-cpus=2", f"--temp-dir={folder}"]
            self.run(program, *words, "--disable-usage-stats")
            self.address = f"http://127.0.0.1:{port}"
        else:
            about = json.loads(self.run(program, "start", "--head", "--port", "0", "--num-cpus", "2", "--json"))
            self.address = about["url"]
            with open(os.path.join(folder, "head", "token")) as file:
                self.headers["Authorization"] = f"Bearer {file.read().strip()}"

        until(self.answers, 60, 0.05)

    def answers(self):
        try:
            return bool(self.ask("/api/version"))
        except urllib.error.URLError:
            return False

    def run(self, *words):
        return subprocess.run(words, env=self.env, check=True, capture_output=True, text=True, timeout=120).stdout

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, self.headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def submit(self, command, cpus=0):
        return self.ask("/api/jobs/", {"entrypoint": command, "entrypoint_num_cpus": cpus})["submission_id"]

    def status(self, job):
        return self.ask(f"/api/jobs/{job}")["status"]

    def log(self, job):
        return self.ask(f"/api/jobs/{job}/logs")["logs"]


def head_processes():
    """Those of the head: all that inherited the mark but this one."""
    return [pid for pid in marked() if pid != os.getpid()]


@contextlib.contextmanager
def standing(target):
    folder = tempfile.mkdtemp(prefix="head")
    try:
        yield Standing(target, folder)
    finally:
        for pid in head_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(true, seconds, pause=0.002):
    """Looks again and again: a row measures, it does not synchronise."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause)


def first_line(bench):
    with standing(bench.target) as head:
        times = []
        for _ in range(bench.size(8, 2)):
            start = time.perf_counter()
            job = head.submit("echo first; sleep 1")
            until(lambda job=job: "first" in head.log(job), 60)
            times.append(time.perf_counter() - start)
            until(lambda job=job: head.status(job) in OVER, 60, 0.1)
        return times[1:]


def through_the_queue(bench):
    number = bench.size(20, 6)
    with standing(bench.target) as head:
        rates = []
        for _ in range(bench.size(2, 1)):
            start = time.perf_counter()
            jobs = [head.submit("true", cpus=1) for _ in range(number)]
            while jobs:
                until(lambda job=jobs[-1]: head.status(job) in OVER, 240, 0.02)
                assert head.status(jobs.pop()) == "SUCCEEDED"
            rates.append(number / (time.perf_counter() - start))
        return rates


def waiting(number):
    """Memory of the head's processes while so many jobs wait for a CPU that one job holds."""

    def run(bench):
        with standing(bench.target) as head:
            blocker = head.submit("sleep 600", cpus=2)
            until(lambda: head.status(blocker) == "RUNNING", 60, 0.1)
            for _ in range(number if not bench.quick else min(number, 10)):
                head.submit("true", cpus=1)
            settled(bench)
            return [sum(measure.pss(pid) for pid in head_processes()) / 2**20]

    return run


def _row(name, unit, run, **asked):
    return Row(name, unit, run, session=False, **asked)


ROWS = [
    _row("job: submit to first line of its log", "s", first_line, limit=0.5, higher=False),
    _row("jobs through the queue", "/s", through_the_queue),
    _row("memory of a head, no job waits", "MiB", waiting(0), higher=False),
    _row("memory of a head, 1,000 jobs wait", "MiB", waiting(1000), limit=256, higher=False),
    _row("memory of a head, 10,000 jobs wait", "MiB", waiting(10_000), limit=256, higher=False),
]
