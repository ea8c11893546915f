"""References: in containers to any depth, across processes, what keeps an object alive, what an owner's death means."""

import itertools
import os
import pickle

import numpy
from probes import eventually


def test_references_nested_deep(rt):
    ref = rt.put("bottom")
    for i in range(20):
        ref = rt.put({"level": i, "next": [(ref,)]})
    for i in reversed(range(20)):
        box = rt.get(ref)
        assert box["level"] == i
        ref = box["next"][0][0]
    assert rt.get(ref) == "bottom"


def test_the_inner_lives_as_long_as_the_outer(rt):
    outer = rt.put([rt.put(numpy.arange(200_000)) for _ in range(5)])
    for _ in range(50):
        rt.put(numpy.zeros(200_000))
    assert [int(rt.get(ref)[-1]) for ref in rt.get(outer)] == [199_999] * 5


def test_an_object_that_holds_many_references(rt):
    outer = rt.put([rt.put(i) for i in range(2000)])
    assert rt.get(rt.get(outer)) == list(range(2000))


def test_references_in_dicts_sets_and_own_objects(rt):
    class Box:
        def __init__(self, ref):
            self.ref = ref

    @rt.remote
    def look(thing):
        return rt.get([thing["dict"]["a"], next(iter(thing["set"])), thing["box"].ref])

    refs = [rt.put(i) for i in range(3)]
    assert rt.get(look.remote({"dict": {"a": refs[0]}, "set": {refs[1]}, "box": Box(refs[2])})) == [0, 1, 2]


def test_a_task_passes_on_what_it_was_lent(rt):
    @rt.remote
    def last(box):
        return rt.get(box[0])

    @rt.remote
    def middle(box):
        return rt.get(last.remote(box))

    @rt.remote
    def first(box):
        return rt.get(middle.remote(box))

    assert rt.get(first.remote([rt.put("far")]), timeout=60) == "far"


def test_a_task_returns_before_what_it_submitted_has_run(rt):
    @rt.remote
    def inner(box):
        return rt.get(box[0]) + 1

    @rt.remote
    def outer(box):
        return inner.remote(box)

    assert rt.get(rt.get(outer.remote([rt.put(1)]), timeout=60), timeout=60) == 2


def test_chains_of_holders(rt):
    @rt.remote
    class Keeper:
        def keep(self, box):
            self.box = box

        def pass_on(self, other):
            rt.get(other.keep.remote(self.box))

        def look(self):
            return rt.get(self.box[0])

        def drop(self):
            del self.box

    keepers = [Keeper.remote() for _ in range(4)]
    ref = rt.put("kept")
    rt.get(keepers[0].keep.remote([ref]))
    del ref
    for one, two in itertools.pairwise(keepers):
        rt.get(one.pass_on.remote(two), timeout=60)
        rt.get(one.drop.remote())
    assert rt.get(keepers[-1].look.remote(), timeout=60) == "kept"


def test_a_reference_that_comes_home(rt):
    @rt.remote
    def echo(box):
        return box

    ref = rt.put("home")
    for _ in range(10):
        ref = rt.get(echo.remote([ref]))[0]
    assert rt.get(ref) == "home"


def test_a_reference_to_a_pending_result_can_be_lent(rt, flag):
    from probes import wait_for_file

    @rt.remote
    def slow():
        wait_for_file(flag)
        return "late"

    @rt.remote
    def look(box):
        return rt.get(box[0])

    answer = look.remote([slow.remote()])
    assert rt.wait([answer], timeout=0.1)[0] == []
    flag.touch()
    assert rt.get(answer, timeout=60) == "late"


def test_an_error_is_seen_by_borrowers(rt):
    @rt.remote
    def fail():
        raise LookupError("lent error")

    @rt.remote
    def look(box):
        try:
            rt.get(box[0])
        except LookupError as error:
            return f"{type(error).__name__}: {error.cause}"

    assert "lent error" in rt.get(look.remote([fail.remote()]), timeout=60)


def test_the_death_of_the_owner_is_named(rt):
    @rt.remote
    class Owner:
        def make(self):
            return [rt.put(numpy.ones(200_000)), rt.put("small")]

        def pid(self):
            return os.getpid()

    owner = Owner.remote()
    refs, pid = rt.get([owner.make.remote(), owner.pid.remote()], timeout=60)
    rt.kill(owner)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 30, "the end of the owner")

    def told(ref):
        try:
            rt.get(ref, timeout=30)
        except rt.exceptions.OwnerDiedError:
            return True
        return False

    for ref in refs:
        eventually(lambda ref=ref: told(ref), 30, "OwnerDiedError")


def test_closures_hold_references(rt):
    ref = rt.put("captured")

    @rt.remote
    def look():
        return rt.get(ref)  # noqa: F821 - deleted below, which is the point

    assert rt.get(look.remote()) == "captured"
    del ref
    assert rt.get(look.remote()) == "captured"


def test_a_pickled_reference_works_in_the_same_process(rt):
    ref = rt.put("carried")
    again = pickle.loads(pickle.dumps(ref))
    assert again == ref and rt.get(again) == "carried"


def test_references_as_attributes_of_actors(rt):
    @rt.remote
    class Holder:
        def __init__(self, box):
            self.ref = box[0]

        def look(self):
            return int(rt.get(self.ref).sum())

    holder = Holder.remote([rt.put(numpy.ones(200_000, dtype=int))])
    assert rt.get([holder.look.remote() for _ in range(3)], timeout=60) == [200_000] * 3
