"""`wait`: order, limits, timeouts, what counts as ready, what is refused."""

import time

import pytest
from probes import wait_for_file


def test_ready_and_not_ready_keep_the_order_of_the_input(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)

    done = [rt.put(i) for i in range(3)]
    blocked = slow.remote()
    ready, pending = rt.wait([done[0], blocked, done[1], done[2]], num_returns=3, timeout=30)
    assert ready == done and pending == [blocked]


def test_no_more_than_asked_for(rt):
    refs = [rt.put(i) for i in range(5)]
    ready, pending = rt.wait(refs)
    assert len(ready) == 1 and len(pending) == 4
    assert sorted(r.hex() for r in ready + pending) == sorted(r.hex() for r in refs)
    ready, pending = rt.wait(refs, num_returns=5)
    assert ready == refs and pending == []


def test_a_timeout_returns_what_there_is(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)

    blocked = slow.remote()
    began = time.monotonic()
    ready, pending = rt.wait([blocked], timeout=0.2)
    assert (ready, pending) == ([], [blocked])
    assert 0.15 <= time.monotonic() - began < 5
    assert rt.wait([blocked], timeout=0) == ([], [blocked])
    flag.touch()
    assert rt.wait([blocked], timeout=60) == ([blocked], [])


def test_nothing_in_nothing_out(rt):
    assert rt.wait([]) == ([], [])


def test_an_error_counts_as_ready(rt):
    @rt.remote
    def fail():
        raise ValueError

    ref = fail.remote()
    assert rt.wait([ref], timeout=30) == ([ref], [])


def test_it_blocks_until_enough_are_ready(rt):
    @rt.remote
    def quick(i):
        return i

    refs = [quick.remote(i) for i in range(50)]
    ready, pending = rt.wait(refs, num_returns=50)
    assert ready == refs and pending == []


def test_a_loop_that_shrinks(rt):
    @rt.remote
    def quick(i):
        return i

    pending, seen = [quick.remote(i) for i in range(100)], []
    while pending:
        ready, pending = rt.wait(pending)
        seen += rt.get(ready)
    assert sorted(seen) == list(range(100))


def test_wait_inside_a_task(rt):
    @rt.remote
    def quick(i):
        return i

    @rt.remote
    def parent():
        refs = [quick.remote(i) for i in range(10)]
        ready, pending = rt.wait(refs, num_returns=10)
        return len(ready), len(pending)

    assert rt.get(parent.remote(), timeout=60) == (10, 0)


def test_fetch_local_is_accepted(rt):
    ref = rt.put(1)
    assert rt.wait([ref], fetch_local=False, timeout=30) == ([ref], [])


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_number_of_returns_that_cannot_be(rt, count):
    with pytest.raises(ValueError, match="num_returns" if count == 3 else str(count)):
        rt.wait([rt.put(1), rt.put(2)], num_returns=count)


def test_duplicates_are_refused(rt):
    ref = rt.put(1)
    with pytest.raises(ValueError, match=r"unique|duplicate|distinct"):
        rt.wait([ref, ref])


def test_a_negative_timeout_is_refused(rt):
    with pytest.raises(ValueError, match="timeout"):
        rt.wait([rt.put(1)], timeout=-1)


@pytest.mark.parametrize("what", ["ref", "tuple", "mixed", "number"])
def test_what_is_not_a_list_of_references_is_refused(rt, what):
    ref = rt.put(1)
    given = {"ref": ref, "tuple": (ref,), "mixed": [ref, 5], "number": 5}[what]
    with pytest.raises(TypeError):
        rt.wait(given)
