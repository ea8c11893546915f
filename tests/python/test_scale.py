"""Many actors and many tasks at once fit: processes answer, the driver's descriptors and the memory stay bounded."""

import os

import pytest
from probes import eventually

pytestmark = pytest.mark.iosdk
ACTORS = 1000


def pss(pid):
    """Proportional share of memory of a process, in bytes."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def lanes(pid):
    """Bytes of mailboxes that a process has mapped and that are there."""
    found, ours = 0, False
    with open(f"/proc/{pid}/smaps") as file:
        for line in file:
            if "-" in line.split()[0]:
                ours = "iosdk-mailbox" in line
            elif ours and line.startswith("Rss:"):
                found += int(line.split()[1]) * 1024
    return found


@pytest.mark.timeout(170)
def test_a_thousand_actors_and_one_driver(rt):
    @rt.remote
    class Small:
        def __init__(self, i):
            self.i = i

        def work(self):
            return self.i, os.getpid()

    before = len(os.listdir("/proc/self/fd"))
    actors = [Small.remote(i) for i in range(ACTORS)]
    answers = rt.get([actor.work.remote() for actor in actors], timeout=120)
    assert [i for i, _ in answers] == list(range(ACTORS))
    pids = [pid for _, pid in answers]
    assert len(set(pids)) == ACTORS
    assert len(os.listdir("/proc/self/fd")) - before < 64
    assert sum(pss(pid) for pid in pids[::20]) / len(pids[::20]) < 5 * 4 * 1024 * 1024
    del actors
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 60, "the end of all actors")


def test_a_hundred_thousand_tasks_in_flight(rt):
    @rt.remote
    def echo(i):
        return i

    refs = [echo.remote(i) for i in range(100_000)]
    assert rt.get(refs, timeout=80) == list(range(100_000))


def test_calls_to_an_actor_beyond_every_buffer(rt):
    @rt.remote
    class Sum:
        total = 0

        def add(self, data):
            self.total += len(data)
            return self.total

    actor = Sum.remote()
    refs = [actor.add.remote(b"x" * 10_000) for _ in range(20_000)]
    assert rt.get(refs[-1], timeout=80) == 200_000_000


def test_large_answers_that_nobody_reads_yet(rt):
    @rt.remote
    class Talker:
        def talk(self):
            return b"y" * 50_000

    talker = Talker.remote()
    refs = [talker.talk.remote() for _ in range(2000)]
    assert sum(len(part) for part in rt.get(refs, timeout=80)) == 100_000_000


def test_lanes_that_grew_give_their_memory_back(start):
    rt = start(num_cpus=1)

    @rt.remote
    class Echo:
        def echo(self, data):
            return data

        def pid(self):
            return os.getpid()

    actor = Echo.remote()
    pids = [os.getpid(), rt.get(actor.pid.remote())]
    at_rest = sum(lanes(pid) for pid in pids)
    burst = [actor.echo.remote(b"x" * 1000) for _ in range(10_000)]
    assert sum(lanes(pid) for pid in pids) > at_rest + 64 * 1024
    assert len(rt.get(burst)) == 10_000
    # The caller's lane ten seconds after the last answer, the callee's ten seconds later.
    eventually(lambda: sum(lanes(pid) for pid in pids) <= at_rest + 16 * 1024, 100, "lanes of their first size")
    assert rt.get(actor.echo.remote(b"on")) == b"on"
