"""What the rows call in other processes; every body counts itself, so that a row can prove that each call ran once."""

import mmap
import os

FOLDER_NAME = "CORE_BENCH_COUNTS"

_counts = None
_owner = None


def count():
    """Add one to the number of calls that this process has run."""
    if _owner != os.getpid():
        _open()
    _counts[0] += 1


def _open():
    global _counts, _owner
    path = os.path.join(os.environ[FOLDER_NAME], str(os.getpid()))
    with open(path, "a+b") as file:
        if os.path.getsize(path) == 0:
            file.write(bytes(8))
            file.flush()
        _counts = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    _owner = os.getpid()


def total():
    """Calls run so far by all processes."""
    folder, found = os.environ[FOLDER_NAME], 0
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found += int.from_bytes(file.read(8), "little")
    return found


def small():
    """The smallest task."""
    count()


def pid():
    """The control call: who runs the tasks."""
    return os.getpid()


def first_byte(array):
    """A task that looks at a large argument."""
    count()
    return int(array[0])


def references(put, number):
    """An object that holds many references, owned by the process that made them."""
    return [put(i) for i in range(number)]


def meet(folder, number):
    """Return when `number` processes are in `folder`, so that each of them is a worker of its own."""
    import time

    count()
    open(os.path.join(folder, str(os.getpid())), "w").close()
    deadline = time.monotonic() + 60
    while len(os.listdir(folder)) < number:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(os.listdir(folder))} of {number} workers came")
        time.sleep(0.002)
    return os.getpid()


def copy_rate(size, rounds=5):
    """Bytes a second of a memcpy between warm private arrays: the median of a few rounds."""
    import statistics
    import time

    import numpy

    source, goal, rates = numpy.ones(size, dtype=numpy.uint8), numpy.ones(size, dtype=numpy.uint8), []
    for _ in range(rounds):
        began = time.perf_counter()
        numpy.copyto(goal, source)
        rates.append(size / (time.perf_counter() - began))
    return statistics.median(rates)


class Callee:
    """The smallest actor."""

    def small(self):
        count()

    def pid(self):
        return os.getpid()


class Client:
    """A caller in a process of its own."""

    def __init__(self, name):
        import importlib

        self.rt = importlib.import_module(name)
        self.task = self.rt.remote(small)

    def pid(self):
        return os.getpid()

    def tasks(self, number):
        self.rt.get([self.task.remote() for _ in range(number)])

    def calls(self, callees, number):
        self.rt.get([callees[i % len(callees)].small.remote() for i in range(number)])

    def puts(self, number):
        put = self.rt.put
        for _ in range(number):
            put(0)
            count()

    def put_large(self, size):
        """Seconds of the first put of this process, beside the rate of memcpy in the same process after it."""
        import time

        import numpy

        array = numpy.ones(size, dtype=numpy.uint8)
        began = time.perf_counter()
        ref = self.rt.put(array)
        took = time.perf_counter() - began
        count()
        del ref
        return took, copy_rate(size)
