"""Actor handles as values: equality, passing on, what keeps an actor alive."""

import os

import pytest
from probes import eventually


class Store:
    """An actor that keeps things, other handles among them."""

    def __init__(self):
        self.kept = []

    def keep(self, thing):
        self.kept.append(thing)
        return len(self.kept)

    def drop(self):
        self.kept.clear()

    def pid(self):
        return os.getpid()

    def ask(self, rt):
        return rt.get(self.kept[-1].pid.remote())


def gone(pid):
    return lambda: not os.path.exists(f"/proc/{pid}")


def test_a_handle_passed_to_a_task(rt):
    @rt.remote
    def use(handle):
        return rt.get(handle.pid.remote())

    actor = rt.remote(Store).remote()
    assert rt.get(use.remote(actor)) == rt.get(actor.pid.remote())


def test_handles_compare_by_actor(rt):
    @rt.remote
    def echo(handle):
        return handle

    one, two = rt.remote(Store).remote(), rt.remote(Store).remote()
    again = rt.get(echo.remote(one))
    assert again == one and hash(again) == hash(one) and one != two
    assert {one: 1}[again] == 1
    assert repr(one).startswith("Actor(Store")


def test_handles_in_containers_and_puts(rt):
    actor = rt.remote(Store).remote()
    back = rt.get(rt.put({"handles": [actor]}))["handles"][0]
    assert rt.get(back.pid.remote()) == rt.get(actor.pid.remote())


def test_a_task_returns_a_handle_it_made(rt):
    @rt.remote
    def make():
        actor = rt.remote(Store).remote()
        rt.get(actor.keep.remote("made"))
        return actor

    actor = rt.get(make.remote(), timeout=60)
    assert rt.get(actor.keep.remote("more"), timeout=60) == 2


def test_another_holder_keeps_an_actor_alive(rt):
    keeper = rt.remote(Store).remote()
    kept = rt.remote(Store).remote()
    pid = rt.get(kept.pid.remote())
    rt.get(keeper.keep.remote(kept))
    del kept
    assert rt.get(keeper.ask.remote(rt), timeout=60) == pid
    rt.get(keeper.drop.remote())
    eventually(gone(pid), 30, "the end of an actor that nobody holds")


def test_a_chain_of_holders(rt):
    keepers = [rt.remote(Store).remote() for _ in range(3)]

    @rt.remote
    def pass_on(keepers, handle):
        for keeper in keepers:
            rt.get(keeper.keep.remote(handle))

    kept = rt.remote(Store).remote()
    pid = rt.get(kept.pid.remote())
    rt.get(pass_on.remote(keepers, kept), timeout=60)
    del kept
    for keeper in keepers:
        assert rt.get(keeper.ask.remote(rt), timeout=60) == pid
        rt.get(keeper.drop.remote())
    eventually(gone(pid), 30, "the end of an actor that nobody holds")


def test_an_actor_dies_with_the_process_that_made_it(rt):
    @rt.remote
    class Maker:
        def make(self):
            self.child = rt.remote(Store).remote()
            return self.child, rt.get(self.child.pid.remote())

    maker = Maker.remote()
    child, pid = rt.get(maker.make.remote(), timeout=60)
    rt.kill(maker)
    eventually(gone(pid), 30, "the end of the child of a killed actor")
    with pytest.raises(rt.exceptions.RayActorError):
        rt.get(child.pid.remote(), timeout=60)


def test_calls_of_two_holders_each_keep_their_order(rt):
    @rt.remote
    class Log:
        def __init__(self):
            self.seen = []

        def note(self, who, i):
            self.seen.append((who, i))

        def all(self):
            return self.seen

    @rt.remote
    def write(log, who):
        rt.get([log.note.remote(who, i) for i in range(300)])

    log = Log.remote()
    rt.get([write.remote(log, "a"), write.remote(log, "b")], timeout=60)
    seen = rt.get(log.all.remote())
    for who in "ab":
        assert [i for name, i in seen if name == who] == list(range(300))


def test_a_handle_of_a_dead_actor_can_still_be_passed(rt):
    @rt.remote
    def use(handle):
        try:
            rt.get(handle.pid.remote(), timeout=60)
        except rt.exceptions.RayActorError:
            return "dead"

    actor = rt.remote(Store).remote()
    rt.get(actor.pid.remote())
    rt.kill(actor)
    assert rt.get(use.remote(actor), timeout=60) == "dead"


def test_public_names_of_a_handle(rt):
    actor = rt.remote(Store).remote()
    names = set(dir(actor))
    assert {"keep", "drop", "pid", "ask"} <= names
    assert {"remote", "options"} <= set(dir(actor.keep))
