"""User code that forks: multiprocessing, loaders, subprocesses, inside tasks and drivers; random numbers differ."""

import os

import pytest

POOLS = """
    import concurrent.futures
    import math
    import multiprocessing

    rt.init(**START)

    def pool(method):
        with multiprocessing.get_context(method).Pool(2) as pool:
            return pool.map(math.factorial, range(20))

    def executor():
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            return list(pool.map(math.factorial, range(20)))
"""


@pytest.mark.parametrize("body", ["pool('fork')", "executor()"])
@pytest.mark.parametrize(
    "where",
    ["driver", pytest.param("task", marks=pytest.mark.iosdk), pytest.param("actor", marks=pytest.mark.iosdk)],
)
def test_pools(driver, body, where):
    out = driver(
        POOLS
        + f"""
    expected = [math.factorial(x) for x in range(20)]
    if {where!r} == "driver":
        rt.get(rt.remote(lambda: 1).remote())
        for _ in range(3):
            assert {body} == expected
            assert rt.get([rt.remote(lambda x: math.factorial(x)).remote(i) for i in range(20)], timeout=30) == expected
    elif {where!r} == "task":
        @rt.remote
        def work():
            return {body}

        assert rt.get([work.remote() for _ in range(3)], timeout=60) == [expected] * 3
    else:
        @rt.remote
        class Actor:
            def work(self):
                return {body}

        actor = Actor.remote()
        assert rt.get([actor.work.remote() for _ in range(3)], timeout=60) == [expected] * 3
    print("FINE")
    """
    ).succeeds(90)
    assert "FINE" in out


LOADER = """
    import multiprocessing
    import numpy

    rt.init(**START)

    class Loader:
        '''Worker processes that are forked, fed by a queue and answer by another, as data loaders do.'''

        def __init__(self, data, workers):
            self.data = data
            context = multiprocessing.get_context("fork")
            self.todo, self.done = context.SimpleQueue(), context.SimpleQueue()
            self.workers = [context.Process(target=self.serve, daemon=True) for _ in range(workers)]
            for worker in self.workers:
                worker.start()

        def serve(self):
            while (i := self.todo.get()) is not None:
                self.done.put((i, float(self.data[i].sum())))

        def __iter__(self):
            for i in range(len(self.data)):
                self.todo.put(i)
            yield from (self.done.get() for _ in range(len(self.data)))
            for _ in self.workers:
                self.todo.put(None)
            for worker in self.workers:
                worker.join()

    data = numpy.arange(100_000.0).reshape(50, 2000)
    expected = sorted((i, float(row.sum())) for i, row in enumerate(data))
"""


def test_a_loader_inside_a_task_over_shared_data(driver):
    out = driver(
        LOADER
        + """
    @rt.remote
    def epoch(data):
        return sorted(Loader(data, 2))

    ref = rt.put(data)
    assert rt.get([epoch.remote(ref) for _ in range(4)], timeout=60) == [expected] * 4
    print("FINE")
    """
    ).succeeds(90)
    assert "FINE" in out


def test_a_loader_in_the_driver_over_a_view(driver):
    out = driver(
        LOADER
        + """
    view = rt.get(rt.put(data))
    for _ in range(3):
        assert sorted(Loader(view, 2)) == expected
    assert rt.get(rt.remote(lambda: 7).remote(), timeout=30) == 7
    print("FINE")
    """
    ).succeeds(90)
    assert "FINE" in out


def test_a_forked_child_that_exits_does_not_end_the_worker(rt):
    @rt.remote
    def fork():
        import sys

        pid = os.fork()
        if pid == 0:
            try:
                sys.exit(3)
            finally:
                os._exit(5)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.getpid()

    answers = rt.get([fork.remote() for _ in range(6)], timeout=60)
    assert {code for code, _ in answers} == {5}


@pytest.mark.iosdk
def test_a_forked_child_that_leaves_by_sys_exit_harms_nobody(driver):
    out = driver("""
        rt.init(**START)

        def fork():
            pid = os.fork()
            if pid == 0:
                sys.exit(3)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        rt.get(rt.remote(lambda: 1).remote())
        assert fork() == 3
        work = rt.remote(max_retries=0)(fork)
        assert rt.get([work.remote() for _ in range(4)], timeout=40) == [3] * 4
        assert rt.get(rt.remote(lambda: 2).remote(), timeout=30) == 2
        print("FINE", flush=True)
    """).succeeds()
    assert out.count("FINE") == 1


def test_subprocesses_inside_tasks(rt):
    @rt.remote
    def run():
        import subprocess
        import sys

        return subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True).stdout

    assert rt.get([run.remote() for _ in range(4)], timeout=60) == ["42\n"] * 4


@pytest.mark.iosdk
@pytest.mark.parametrize(
    "call",
    [
        "rt.get(ref)",
        "rt.put(1)",
        "rt.wait([ref])",
        "function.remote()",
        "actor.work.remote()",
        "rt.get_runtime_context().get_node_id()",
        "rt.available_resources()",
        "rt.kill(actor)",
        "rt.remote(lambda: 1).remote()",
        "rt.cancel(ref)",
    ],
)
@pytest.mark.parametrize("where", ["driver", "task"])
def test_a_forked_child_is_told_clearly(driver, call, where):
    out = driver(f"""
        import traceback

        @rt.remote
        def function():
            return 1

        @rt.remote
        class Actor:
            def work(self):
                return 1

        def look():
            actor = Actor.remote()
            ref = function.remote()
            rt.get([ref, actor.work.remote()])
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    {call}
                    text = "NO ERROR"
                except rt.exceptions.RayError as error:
                    text = f"TOLD {{error}}"
                except BaseException:
                    text = "WRONG " + traceback.format_exc()
                os.write(write, text.encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as file:
                text = file.read()
            os.waitpid(pid, 0)
            assert rt.get(function.remote(), timeout=30) == 1
            return text

        rt.init(**START)
        print(look() if {where!r} == "driver" else rt.get(rt.remote(look).remote(), timeout=30))
    """).succeeds(45)
    assert "TOLD" in out and "fork" in out


@pytest.mark.iosdk
def test_a_forked_child_that_drops_references_harms_nobody(driver):
    out = driver("""
        import gc
        import numpy

        rt.init(**START)
        ref = rt.put(numpy.arange(1_000_000))
        view = rt.get(ref)
        pid = os.fork()
        if pid == 0:
            del ref, view
            gc.collect()
            rt.shutdown()
            os._exit(0)
        os.waitpid(pid, 0)
        for i in range(20):
            rt.put(numpy.zeros(1_000_000))
        assert int(rt.get(ref)[-1]) == 999_999 and int(view[-1]) == 999_999
        assert rt.get(rt.remote(lambda: 3).remote(), timeout=30) == 3
        print("FINE")
    """).succeeds()
    assert "FINE" in out


def test_workers_never_draw_the_same_numbers(rt):
    @rt.remote
    class Drawer:
        def draw(self):
            import random
            import tempfile
            import uuid

            import numpy

            return (
                random.random(),
                float(numpy.random.rand()),
                float(numpy.random.default_rng().random()),
                uuid.uuid4().hex,
                os.urandom(8),
                random.SystemRandom().random(),
                next(tempfile._get_candidate_names()),
            )

    drawers = [Drawer.remote() for _ in range(6)]
    draws = rt.get([drawer.draw.remote() for drawer in drawers], timeout=80)
    for kind in zip(*draws, strict=True):
        assert len(set(kind)) == 6


@pytest.mark.iosdk
def test_workers_never_draw_the_drivers_numbers(driver):
    out = driver("""
        import random
        import numpy

        rt.init(**START)

        @rt.remote
        class Drawer:
            def draw(self):
                return random.random(), float(numpy.random.rand())

        drawers = [Drawer.remote() for _ in range(5)]
        draws = rt.get([drawer.draw.remote() for drawer in drawers]) + [(random.random(), float(numpy.random.rand()))]
        print("DIFFERENT", len({a for a, _ in draws}), len({b for _, b in draws}))
    """).succeeds()
    assert "DIFFERENT 6 6" in out
