"""Workers that die: retries, what is charged to whom, errors that name every attempt."""

import os
import re
import signal
import time

import pytest
from probes import eventually


def die(how):
    """Ends the process that runs it."""
    import ctypes
    import sys

    if how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(3)
    elif how == "sys.exit":
        sys.exit(4)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()


WAYS = ["sigkill", "exit", "sys.exit", "segfault", "abort"]


@pytest.mark.parametrize("how", WAYS)
def test_no_retries_left(rt, how):
    ref = rt.remote(max_retries=0)(die).remote(how)
    with pytest.raises(rt.exceptions.WorkerCrashedError):
        rt.get(ref, timeout=60)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_the_number_of_attempts(rt, tmp_path, retries):
    @rt.remote(max_retries=retries)
    def attempt():
        with open(tmp_path / "log", "a") as file:
            file.write("x")
        die("sigkill")

    with pytest.raises(rt.exceptions.WorkerCrashedError):
        rt.get(attempt.remote(), timeout=80)
    assert len((tmp_path / "log").read_text()) == retries + 1


def test_three_retries_by_default(rt, tmp_path):
    @rt.remote
    def attempt():
        with open(tmp_path / "log", "a") as file:
            file.write("x")
        if (tmp_path / "log").stat().st_size <= 3:
            die("exit")
        return "fourth"

    assert rt.get(attempt.remote(), timeout=80) == "fourth"
    assert len((tmp_path / "log").read_text()) == 4


def test_a_retry_reads_its_arguments_again(rt, tmp_path):
    import numpy

    @rt.remote
    def total(array, text):
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            die("sigkill")
        return int(array.sum()), text

    array = rt.put(numpy.ones(300_000, dtype=int))
    ref = total.remote(array, "small")
    del array
    assert rt.get(ref, timeout=80) == (300_000, "small")


@pytest.mark.iosdk
def test_the_error_names_every_attempt(rt, tmp_path):
    @rt.remote(max_retries=2)
    def attempt():
        with open(tmp_path / "log", "a") as file:
            file.write(f"{os.getpid()}\n")
        print("the last words", flush=True)
        die("sigkill")

    with pytest.raises(rt.exceptions.WorkerCrashedError) as caught:
        rt.get(attempt.remote(), timeout=60)
    text = str(caught.value)
    pids = (tmp_path / "log").read_text().split()
    assert len(pids) == 3 and all(pid in text for pid in pids)
    assert re.search("SIGKILL|signal 9", text) and "the last words" in text and "attempt" in text


@pytest.mark.iosdk
@pytest.mark.parametrize(
    "how, words", [("exit", "3"), ("segfault", "SIGSEGV|signal 11"), ("abort", "SIGABRT|signal 6")]
)
def test_the_error_names_signal_or_exit_code(rt, how, words):
    with pytest.raises(rt.exceptions.WorkerCrashedError, match=words):
        rt.get(rt.remote(max_retries=0)(die).remote(how), timeout=60)


@pytest.mark.iosdk
def test_the_error_comes_soon_after_the_last_death(rt, tmp_path):
    @rt.remote(max_retries=1)
    def attempt():
        (tmp_path / "at").write_text(str(time.time()))
        die("sigkill")

    with pytest.raises(rt.exceptions.WorkerCrashedError):
        rt.get(attempt.remote(), timeout=60)
    assert time.time() - float((tmp_path / "at").read_text()) < 5.0


def test_calls_queued_behind_a_death_cost_nothing(rt, tmp_path):
    @rt.remote(max_retries=0)
    def work(i, deadly):
        if deadly:
            die("sigkill")
        with open(tmp_path / f"ran{i}", "a") as file:
            file.write("x")
        return i

    rt.get([work.remote(-1, False) for _ in range(200)], timeout=60)
    refs = [work.remote(i, i == 30) for i in range(100)]
    for i, ref in enumerate(refs):
        if i == 30:
            with pytest.raises(rt.exceptions.WorkerCrashedError):
                rt.get(ref, timeout=60)
        else:
            assert rt.get(ref, timeout=60) == i
            assert (tmp_path / f"ran{i}").read_text() == "x"


def test_an_idle_worker_killed_from_outside_is_replaced(rt):
    @rt.remote
    def pid():
        return os.getpid()

    for _ in range(3):
        victim = rt.get(pid.remote(), timeout=60)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda pid=victim: not os.path.exists(f"/proc/{pid}"), 10, "the end of the killed worker")
        assert rt.get(pid.remote(), timeout=60) != victim


def test_results_survive_the_worker_that_made_them(rt):
    import numpy

    @rt.remote
    class Maker:
        def make(self):
            return numpy.arange(300_000), os.getpid()

    maker = Maker.remote()
    small, large = maker.make.remote(), maker.make.options(num_returns=2).remote()
    rt.wait([small, *large], num_returns=3, timeout=60)
    rt.kill(maker)
    assert int(rt.get(large[0], timeout=60)[-1]) == 299_999


@pytest.mark.parametrize("retry", [True, [LookupError]], ids=["all", "listed"])
def test_exceptions_are_retried_when_asked(rt, tmp_path, retry):
    @rt.remote(max_retries=5, retry_exceptions=retry)
    def attempt():
        with open(tmp_path / "log", "a") as file:
            file.write("x")
        if (tmp_path / "log").stat().st_size < 3:
            raise KeyError("not yet")
        return "third"

    assert rt.get(attempt.remote(), timeout=60) == "third"


def test_other_exceptions_are_not_retried(rt, tmp_path):
    @rt.remote(max_retries=5, retry_exceptions=[OSError])
    def attempt():
        with open(tmp_path / "log", "a") as file:
            file.write("x")
        raise KeyError("final")

    with pytest.raises(KeyError):
        rt.get(attempt.remote(), timeout=60)
    assert (tmp_path / "log").read_text() == "x"


def test_exceptions_are_not_retried_by_default(rt, tmp_path):
    @rt.remote
    def attempt():
        with open(tmp_path / "log", "a") as file:
            file.write("x")
        raise KeyError("final")

    with pytest.raises(KeyError):
        rt.get(attempt.remote(), timeout=60)
    assert (tmp_path / "log").read_text() == "x"


def test_a_parent_hears_of_the_death_of_its_child(rt):
    @rt.remote(max_retries=0)
    def child():
        die("sigkill")

    @rt.remote
    def parent():
        try:
            rt.get(child.remote())
        except rt.exceptions.WorkerCrashedError:
            return "heard"

    assert rt.get(parent.remote(), timeout=60) == "heard"


def test_children_of_a_dead_parent_do_not_block_others(rt, tmp_path):
    @rt.remote
    def child():
        return 1

    @rt.remote(max_retries=0)
    def parent():
        refs = [child.remote() for _ in range(20)]
        die("sigkill")
        return refs

    for _ in range(3):
        with pytest.raises(rt.exceptions.WorkerCrashedError):
            rt.get(parent.remote(), timeout=60)
    assert rt.get([child.remote() for _ in range(20)], timeout=60) == [1] * 20
