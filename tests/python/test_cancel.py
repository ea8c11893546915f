"""`cancel`: queued calls never run, finished ones keep their result, dependants see it."""

import pytest
from probes import eventually, wait_for_file


@pytest.fixture
def busy(rt, flag):
    """Both CPUs are taken until the flag is there."""

    @rt.remote
    def block(started):
        started.touch()
        wait_for_file(flag)
        return "blocked"

    marks = [flag.parent / f"busy{i}" for i in range(2)]
    refs = [block.remote(mark) for mark in marks]
    eventually(lambda: all(mark.exists() for mark in marks), 60, "two running tasks")
    yield refs
    flag.touch()
    assert rt.get(refs, timeout=60) == ["blocked", "blocked"]


def test_a_queued_task_never_runs(rt, busy, flag, tmp_path):
    @rt.remote
    def touch(i):
        (tmp_path / f"ran{i}").touch()

    refs = [touch.remote(i) for i in range(10)]
    rt.cancel(refs[3])
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(refs[3], timeout=30)
    flag.touch()
    rt.get(refs[:3] + refs[4:], timeout=60)
    assert not (tmp_path / "ran3").exists()
    assert len(list(tmp_path.glob("ran*"))) == 9


def test_a_task_that_waits_for_its_arguments_is_cancelled(rt, busy, tmp_path):
    @rt.remote
    def after(x):
        (tmp_path / "ran").touch()

    ref = after.remote(busy[0])
    rt.cancel(ref)
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(ref, timeout=30)
    assert not (tmp_path / "ran").exists()


def test_dependants_of_a_cancelled_task_fail(rt, busy, flag):
    @rt.remote
    def one():
        return 1

    @rt.remote
    def after(x):
        return x

    first = one.remote()
    second = after.remote(first)
    rt.cancel(first)
    flag.touch()
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(second, timeout=60)


def test_all_returns_of_a_cancelled_task_say_so(rt, busy):
    @rt.remote(num_returns=2)
    def two():
        return 1, 2

    refs = two.remote()
    rt.cancel(refs[0])
    for ref in refs:
        with pytest.raises(rt.exceptions.TaskCancelledError):
            rt.get(ref, timeout=30)


def test_force_on_a_queued_task(rt, busy):
    @rt.remote
    def one():
        return 1

    ref = one.remote()
    rt.cancel(ref, force=True)
    with pytest.raises((rt.exceptions.TaskCancelledError, rt.exceptions.WorkerCrashedError)):
        rt.get(ref, timeout=30)


def test_cancelling_twice(rt, busy):
    @rt.remote
    def one():
        return 1

    ref = one.remote()
    rt.cancel(ref)
    rt.cancel(ref)
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(ref, timeout=30)


def test_a_finished_task_keeps_its_result(rt):
    @rt.remote
    def one():
        return 1

    ref = one.remote()
    assert rt.get(ref) == 1
    rt.cancel(ref)
    assert rt.get(ref) == 1


def test_another_process_may_cancel(rt, busy):
    @rt.remote
    def one():
        return 1

    @rt.remote(num_cpus=0)
    def stop(box):
        rt.cancel(box[0])

    ref = one.remote()
    rt.get(stop.remote([ref]), timeout=60)
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(ref, timeout=30)


@pytest.mark.iosdk
def test_a_queued_call_of_an_actor(rt, flag, tmp_path):
    @rt.remote
    class Worker:
        def block(self):
            wait_for_file(flag)

        def touch(self, name):
            (tmp_path / name).touch()

    worker = Worker.remote()
    rt.get(worker.touch.remote("warm"), timeout=60)
    running = worker.block.remote()
    queued, last = worker.touch.remote("queued"), worker.touch.remote("last")
    rt.cancel(queued)
    with pytest.raises(rt.exceptions.TaskCancelledError):
        rt.get(queued, timeout=30)
    flag.touch()
    rt.get([running, last], timeout=60)
    assert (tmp_path / "last").exists() and not (tmp_path / "queued").exists()


def test_force_is_refused_for_actors(rt):
    @rt.remote
    class Worker:
        def work(self):
            return 1

    ref = Worker.remote().work.remote()
    with pytest.raises(ValueError, match="force=True is not supported"):
        rt.cancel(ref, force=True)


@pytest.mark.parametrize("given", [5, None, "ref", [1]], ids=repr)
def test_what_is_not_a_reference_is_refused(rt, given):
    with pytest.raises(TypeError):
        rt.cancel(given)
