"""How a row is measured: bounded rounds, medians, and the proof that every call ran once in another process."""

import os
import statistics
import time

import callee


class Bench:
    """What a row gets: the module under test, the size of the run, and ways to time it."""

    def __init__(self, target, rt, quick):
        self.target = target
        self.rt = rt
        self.quick = quick
        self.seconds = 0.3 if quick else 3.0
        self.rounds_max = 10 if quick else 100

    def size(self, full, quick):
        return quick if self.quick else full

    def elsewhere(self, pids):
        """The control: no call of the row runs in this process."""
        assert pids and os.getpid() not in pids, f"the callee is this process ({os.getpid()})"

    def rates(self, batch, calls, counted=True):
        """Calls a second of `batch()`, which makes `calls` counted calls, round by round; the first round warms up."""
        batch()
        rates, began = [], time.perf_counter()
        while len(rates) < 3 or (time.perf_counter() - began < self.seconds and len(rates) < self.rounds_max):
            before = callee.total() if counted else 0
            start = time.perf_counter()
            batch()
            rates.append(calls / (time.perf_counter() - start))
            if counted:
                ran = callee.total() - before
                assert ran == calls, f"{ran} calls ran where {calls} were made"
        return rates

    def sized(self, call, low, high):
        """How many times `call` fits into a round of about 50 ms."""
        call()
        start, done = time.perf_counter(), 0
        while done < 20 and (done < 3 or time.perf_counter() - start < 0.05):
            call()
            done += 1
        return max(low, min(high, int(0.05 * done / (time.perf_counter() - start))))

    def sync(self, call, counted=True, high=5000):
        """Rate of one call after another."""
        number = self.sized(call, 5, self.size(high, 200))

        def batch():
            for _ in range(number):
                call()

        return self.rates(batch, number, counted)


def percentile(samples, share):
    """The sample below which `share` of them lie (nearest rank)."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(samples, higher_is_better=True):
    """Median, and the tenth percentile on the bad side."""
    return {
        "median": statistics.median(samples),
        "p10": percentile(samples, 0.1 if higher_is_better else 0.9),
        "samples": samples,
    }


def processes(mark_name, mark):
    """Processes that inherited the mark, this one included."""
    needle, found = f"{mark_name}={mark}".encode(), [os.getpid()]
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if needle in file.read().split(b"\0"):
                        found.append(int(entry))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def pss(pid):
    """Proportional share of memory of a process, in bytes; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_seconds(pid):
    """Processor time that a process has used; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
