"""The store's limit: what cannot fit says so, what is freed can be used again, nothing leaks along the way."""

import threading

import numpy
import pytest
from probes import eventually

MIB = 1024 * 1024
START = {"object_store_memory": 100 * MIB}


def block(mib, fill=1):
    return numpy.full(mib * MIB, fill, dtype=numpy.uint8)


@pytest.mark.iosdk
def test_what_can_never_fit_is_named(rt):
    with pytest.raises(rt.exceptions.ObjectStoreFullError) as caught:
        rt.put(block(160))
    text = str(caught.value)
    assert "object_store_memory" in text
    assert rt.get(rt.put(block(1)))[0] == 1


@pytest.mark.iosdk
def test_a_full_store_says_what_is_in_it_and_loses_nothing(rt):
    import os

    held = [rt.put(block(20, i)) for i in range(4)]
    with pytest.raises(rt.exceptions.ObjectStoreFullError) as caught:
        rt.put(block(40))
    text = str(caught.value)
    assert "object_store_memory" in text and str(os.getpid()) in text
    assert [int(rt.get(ref)[-1]) for ref in held] == [0, 1, 2, 3]
    del held
    assert rt.get(rt.put(block(40)))[0] == 1


@pytest.mark.iosdk
def test_a_full_store_fails_the_return_of_a_task(rt):
    @rt.remote(max_retries=0)
    def make():
        return numpy.ones(160 * MIB, dtype=numpy.uint8)

    with pytest.raises(rt.exceptions.ObjectStoreFullError):
        rt.get(make.remote(), timeout=80)


def test_a_put_waits_for_room(rt):
    held = [rt.put(block(30)) for _ in range(2)]
    refs = []
    waiting = threading.Thread(target=lambda: refs.append(rt.put(block(60, 9))))
    waiting.start()
    held.clear()
    waiting.join(60)
    assert int(rt.get(refs[0])[0]) == 9


def test_what_is_dropped_can_be_used_again(rt):
    for i in range(40):
        assert int(rt.get(rt.put(block(40, i)))[0]) == i


def test_returns_that_are_dropped_can_be_used_again(rt):
    @rt.remote
    def make(i):
        return numpy.full(40 * MIB, i, dtype=numpy.uint8)

    for i in range(20):
        assert int(rt.get(make.remote(i), timeout=60)[0]) == i


def test_arguments_passed_by_value_are_freed(rt):
    @rt.remote
    def first(x):
        return int(x[0])

    for i in range(20):
        assert rt.get(first.remote(block(40, i)), timeout=60) == i


def test_puts_of_workers_are_freed(rt):
    @rt.remote
    def inside(i):
        return int(rt.get(rt.put(numpy.full(40 * MIB, i, dtype=numpy.uint8)))[0])

    assert [rt.get(inside.remote(i), timeout=60) for i in range(20)] == list(range(20))


def test_references_in_references_are_freed(rt):
    for i in range(20):
        ref = rt.put(block(40, i))
        for _ in range(5):
            ref = rt.put([ref])
        for _ in range(5):
            ref = rt.get(ref)[0]
        assert int(rt.get(ref)[0]) == i


def test_references_returned_by_tasks_are_freed(rt):
    @rt.remote
    def make(i):
        return [rt.put(numpy.full(40 * MIB, i, dtype=numpy.uint8))]

    for i in range(12):
        assert int(rt.get(rt.get(make.remote(i), timeout=60)[0], timeout=60)[0]) == i


def test_borrowed_references_are_freed_when_the_borrower_lets_go(rt):
    @rt.remote
    class Keeper:
        def keep(self, box):
            self.box = box

        def look(self):
            return int(rt.get(self.box[0])[0])

    keeper = Keeper.remote()
    for i in range(12):
        ref = rt.put(block(40, i))
        rt.get(keeper.keep.remote([ref]))
        del ref
        assert rt.get(keeper.look.remote(), timeout=60) == i


def test_a_chain_of_borrowers_ends_with_a_free(rt):
    @rt.remote
    def down(box, depth):
        if depth:
            return rt.get(down.remote(box, depth - 1))
        return int(rt.get(box[0])[0])

    for i in range(10):
        assert rt.get(down.remote([rt.put(block(40, i))], 4), timeout=60) == i


def test_what_a_dead_borrower_held_is_freed(rt):
    @rt.remote
    class Keeper:
        def keep(self, box):
            self.box = box
            self.view = rt.get(box[0])
            return int(self.view[0])

    for i in range(6):
        keeper = Keeper.remote()
        assert rt.get(keeper.keep.remote([rt.put(block(40, i))]), timeout=60) == i
        rt.kill(keeper)


def test_what_a_dead_owner_stored_is_freed(rt):
    @rt.remote
    class Owner:
        def make(self, i):
            self.ref = rt.put(numpy.full(40 * MIB, i, dtype=numpy.uint8))
            return int(rt.get(self.ref)[0])

    for i in range(6):
        owner = Owner.remote()
        assert rt.get(owner.make.remote(i), timeout=60) == i
        rt.kill(owner)


def test_a_failed_task_lets_go_of_its_arguments(rt):
    @rt.remote
    def fail(box):
        view = rt.get(box[0])
        raise ValueError(int(view[0]))

    for i in range(12):
        with pytest.raises(ValueError, match=str(i)):
            rt.get(fail.remote([rt.put(block(40, i))]), timeout=60)


def test_the_room_is_reported(rt):
    assert rt.cluster_resources()["object_store_memory"] == pytest.approx(100 * MIB, rel=0.1)


@pytest.mark.iosdk
def test_the_use_of_the_room_is_reported(rt):
    def free():
        return rt.available_resources().get("object_store_memory", 0)

    eventually(lambda: free() > 90 * MIB, 30, "an empty store")
    ref = rt.put(block(50))
    eventually(lambda: free() < 60 * MIB, 30, "a store in use")
    del ref
    eventually(lambda: free() > 90 * MIB, 30, "an empty store again")


def test_views_of_several_processes_hold_the_object(rt):
    @rt.remote
    class Viewer:
        def view(self, x):
            self.array = x

        def total(self):
            return int(self.array.sum(dtype=numpy.int64))

    viewer = Viewer.remote()
    ref = rt.put(block(10, 3))
    rt.get(viewer.view.remote(ref))
    del ref
    for i in range(20):
        rt.put(block(40, i))
    assert rt.get(viewer.total.remote(), timeout=60) == 3 * 10 * MIB
