"""What a session costs while it does nothing, and what it leaves to others while it works."""

import mmap
import os
import subprocess
import sys
import tempfile
import time

import callee
import measure

from . import Row

SPIN = """
import mmap, os, sys
os.sched_setaffinity(0, {int(sys.argv[2])})
with open(sys.argv[1], "r+b") as file:
    count = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
while True:
    for _ in range(1000):
        pass
    count[0] += 1
"""


def four_workers(bench):
    """One task on each of four workers; returns the pids of the workers."""
    rt = bench.rt
    with tempfile.TemporaryDirectory() as folder:
        pids = rt.get([rt.remote(callee.meet).remote(folder, 4) for _ in range(4)])
    assert len(set(pids)) == 4
    bench.elsewhere(pids)
    return pids


def marked():
    from core import MARK_NAME

    return measure.processes(MARK_NAME, os.environ[MARK_NAME])


def settled(bench):
    """Wait until the memory of all processes has stood still for a second."""
    deadline, last = time.monotonic() + 20, None
    while time.monotonic() < deadline:
        now = sum(measure.pss(pid) for pid in marked())
        if last is not None and abs(now - last) < 1 << 20:
            return
        last = now
        time.sleep(1.0)


def memory(bench):
    four_workers(bench)
    settled(bench)
    return [sum(measure.pss(pid) for pid in marked()) / 2**20 for _ in range(3)]


def worker_memory(bench):
    pids = four_workers(bench)
    settled(bench)
    return [measure.pss(pid) / 2**20 for pid in pids]


def idle_cpu(bench):
    """Percent of one core that all processes use together; what starts meanwhile counts, what has ended does not."""
    four_workers(bench)
    settled(bench)
    before, began = {pid: measure.cpu_seconds(pid) for pid in marked()}, time.perf_counter()
    time.sleep(bench.size(30, 5))
    took = time.perf_counter() - began
    used = sum(max(0.0, measure.cpu_seconds(pid) - before.get(pid, 0.0)) for pid in marked())
    return [100 * used / took]


def neighbours(bench):
    """Share of its solo speed that a busy process pinned to each core keeps while 1:1 sync calls run (the least)."""
    rt, actor = bench.rt, bench.rt.remote(callee.Callee).remote()
    bench.elsewhere([rt.get(actor.pid.remote())])
    cores, seconds = sorted(os.sched_getaffinity(0)), bench.size(2.0, 0.3)
    with tempfile.TemporaryDirectory() as folder:
        counts, spinners = [], []
        for core in cores:
            path = os.path.join(folder, str(core))
            with open(path, "w+b") as file:
                file.write(bytes(8))
                file.flush()
                counts.append(memoryview(mmap.mmap(file.fileno(), 8)).cast("Q"))
            spinners.append(subprocess.Popen([sys.executable, "-c", SPIN, path, str(core)]))
        try:
            while not all(count[0] for count in counts):
                time.sleep(0.01)
            return [kept(rt, actor, counts, seconds) for _ in range(bench.size(5, 1))]
        finally:
            for spinner in spinners:
                spinner.kill()
                spinner.wait()


def kept(rt, actor, counts, seconds):
    def speeds(work):
        before, began = [count[0] for count in counts], time.perf_counter()
        work(began + seconds)
        took = time.perf_counter() - began
        return [(count[0] - start) / took for count, start in zip(counts, before, strict=True)]

    def calls(until):
        while time.perf_counter() < until:
            rt.get(actor.small.remote())

    solo = speeds(lambda until: time.sleep(until - time.perf_counter()))
    loaded = speeds(calls)
    return min(now / alone for now, alone in zip(loaded, solo, strict=True))


ROWS = [
    Row("idle memory, 4 workers, PSS of all processes", "MiB", memory, limit=60, higher=False),
    Row("idle worker, PSS", "MiB", worker_memory, limit=4, higher=False),
    Row("idle CPU, all processes", "% of a core", idle_cpu, limit=1, higher=False),
    Row("busy neighbour on each core during 1:1 sync", "share", neighbours, limit=0.45),
]
