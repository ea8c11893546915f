"""Classes become actors: state, order, constructor, methods, kill, death and what callers see."""

import os
import threading

import pytest
from probes import eventually, wait_for_file


class Counter:
    """Plain class; tests make actor classes of it."""

    def __init__(self, start=0):
        self.value = start

    def add(self, amount=1):
        self.value += amount
        return self.value

    def pid(self):
        return os.getpid()


def test_state_lives_in_another_process(rt):
    counter = rt.remote(Counter).remote(10)
    assert rt.get(counter.add.remote()) == 11
    assert rt.get(counter.add.remote(amount=5)) == 16
    assert rt.get(counter.pid.remote()) != os.getpid()


def test_each_actor_has_its_own_process(rt):
    actors = [rt.remote(Counter).remote() for _ in range(4)]
    assert len(set(rt.get([actor.pid.remote() for actor in actors], timeout=60))) == 4


def test_calls_of_one_caller_keep_their_order(rt):
    @rt.remote
    class Log:
        def __init__(self):
            self.seen = []

        def note(self, i):
            self.seen.append(i)

        def all(self):
            return self.seen

    log = Log.remote()
    for i in range(3000):
        log.note.remote(i)
    assert rt.get(log.all.remote(), timeout=60) == list(range(3000))


def test_a_call_whose_argument_is_late_holds_back_later_ones(rt, flag):
    @rt.remote
    def late():
        wait_for_file(flag)
        return "late"

    @rt.remote
    class Log:
        def __init__(self):
            self.seen = []

        def note(self, what):
            self.seen.append(what)
            return list(self.seen)

    log = Log.remote()
    log.note.remote(late.remote())
    second = log.note.remote("second")
    assert rt.wait([second], timeout=0.1)[0] == []
    flag.touch()
    assert rt.get(second, timeout=60) == ["late", "second"]


def test_constructor_arguments(rt):
    @rt.remote
    class Holder:
        def __init__(self, a, *rest, b=2, **more):
            self.all = (a, rest, b, more)

        def get(self):
            return self.all

    holder = Holder.remote(rt.put("a"), 1, 2, b=3, c=4)
    assert rt.get(holder.get.remote()) == ("a", (1, 2), 3, {"c": 4})
    with pytest.raises(TypeError):
        Holder.remote()


def test_methods_of_base_classes_and_class_members(rt):
    class Base:
        limit = 7

        def inherited(self):
            return self.limit

        @staticmethod
        def static(x):
            return x + 1

        @classmethod
        def named(cls):
            return cls.__name__

    @rt.remote
    class Derived(Base):
        @property
        def size(self):
            return 3

        def own(self):
            return self.inherited() + self.size

    actor = Derived.remote()
    assert rt.get([actor.inherited.remote(), actor.own.remote(), actor.static.remote(1), actor.named.remote()]) == [
        7,
        10,
        2,
        "Derived",
    ]


def test_returns_of_methods(rt):
    @rt.remote
    class Many:
        @rt.method(num_returns=2)
        def two(self):
            return 1, 2

        def three(self):
            return 1, 2, 3

    many = Many.remote()
    assert rt.get(many.two.remote()) == [1, 2]
    assert rt.get(many.three.options(num_returns=3).remote()) == [1, 2, 3]


def test_an_error_leaves_the_actor_alive(rt):
    @rt.remote
    class Fragile:
        def fail(self):
            raise ValueError("method failed")

        def work(self):
            return "alive"

        def __repr__(self):
            return "Fragile-One"

    actor = Fragile.remote()
    with pytest.raises(ValueError, match="method failed") as caught:
        rt.get(actor.fail.remote())
    text = str(caught.value)
    assert "Fragile.fail()" in text and "Fragile-One" in text
    assert rt.get(actor.work.remote()) == "alive"


def test_an_error_in_the_constructor(rt):
    @rt.remote
    class Broken:
        def __init__(self):
            raise RuntimeError("constructor failed")

        def work(self):
            return 1

    actor = Broken.remote()
    for _ in range(2):
        with pytest.raises(rt.exceptions.RayActorError, match="constructor failed") as caught:
            rt.get(actor.work.remote(), timeout=60)
        assert "The actor died because of an error raised in its creation task" in str(caught.value)


def test_kill(rt, flag):
    @rt.remote
    class Busy:
        def block(self):
            wait_for_file(flag)

        def pid(self):
            return os.getpid()

    actor = Busy.remote()
    pid = rt.get(actor.pid.remote())
    running, queued = actor.block.remote(), actor.pid.remote()
    rt.kill(actor)
    for ref in (running, queued, actor.pid.remote()):
        with pytest.raises(rt.exceptions.ActorDiedError):
            rt.get(ref, timeout=60)
    with pytest.raises(rt.exceptions.ActorDiedError, match="killed by"):
        rt.get(actor.pid.remote(), timeout=60)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 10, "the end of the killed process")


def test_kill_twice_and_kill_before_it_is_up(rt):
    actor = rt.remote(Counter).remote()
    rt.kill(actor)
    rt.kill(actor)
    with pytest.raises(rt.exceptions.RayActorError):
        rt.get(actor.add.remote(), timeout=60)


@pytest.mark.parametrize("how", ["sigkill", "exit", "segfault"])
def test_the_process_of_an_actor_dies(rt, how):
    @rt.remote
    class Mortal:
        def die(self, how):
            import ctypes
            import signal

            if how == "sigkill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif how == "exit":
                os._exit(3)
            ctypes.string_at(0)

        def work(self):
            return 1

    actor = Mortal.remote()
    assert rt.get(actor.work.remote()) == 1
    refs = [actor.die.remote(how), actor.work.remote(), actor.work.remote()]
    for ref in refs:
        with pytest.raises(rt.exceptions.ActorDiedError):
            rt.get(ref, timeout=60)
    with pytest.raises(rt.exceptions.ActorDiedError, match="worker process has died") as caught:
        rt.get(actor.work.remote(), timeout=60)
    assert caught.value.actor_id in repr(actor)


def test_the_last_handle_ends_the_actor_after_its_calls(rt, tmp_path):
    @rt.remote
    class Short:
        def pid(self):
            return os.getpid()

        def write(self, i):
            with open(tmp_path / "log", "a") as file:
                file.write(f"{i}\n")

    actor = Short.remote()
    pid = rt.get(actor.pid.remote())
    for i in range(200):
        actor.write.remote(i)
    del actor
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 30, "the end of the actor's process")
    assert (tmp_path / "log").read_text().split() == [str(i) for i in range(200)]


def test_a_one_line_actor(rt):
    assert rt.get(rt.remote(Counter).remote(4).add.remote(), timeout=60) == 5


def test_leaving_runs_the_exit_hooks(rt, tmp_path):
    @rt.remote
    class Tidy:
        def __init__(self):
            import atexit

            atexit.register((tmp_path / "left").touch)

        def work(self):
            return 1

    actor = Tidy.remote()
    rt.get(actor.work.remote())
    del actor
    eventually((tmp_path / "left").exists, 30, "the exit hook of the actor")


def test_actors_call_actors(rt):
    @rt.remote
    class Outer:
        def __init__(self):
            self.inner = rt.remote(Counter).remote(100)

        def add(self):
            return rt.get(self.inner.add.remote())

    outer = Outer.remote()
    assert rt.get([outer.add.remote() for _ in range(3)], timeout=60) == [101, 102, 103]


def test_many_actors_on_two_cpus(rt):
    actors = [rt.remote(Counter).remote(i) for i in range(12)]
    assert rt.get([actor.add.remote() for actor in actors], timeout=90) == [i + 1 for i in range(12)]


@pytest.mark.iosdk
def test_a_hundred_actors(rt):
    actors = [rt.remote(Counter).remote(i) for i in range(100)]
    assert rt.get([actor.add.remote() for actor in actors], timeout=60) == [i + 1 for i in range(100)]


def test_actors_that_hold_cpus_wait_for_each_other(rt):
    @rt.remote(num_cpus=2)
    class Whole:
        def pid(self):
            return os.getpid()

    first = Whole.remote()
    pid = rt.get(first.pid.remote(), timeout=60)
    second = Whole.remote()
    ref = second.pid.remote()
    assert rt.wait([ref], timeout=0.3)[0] == []
    del first
    assert rt.get(ref, timeout=60) != pid


def test_calls_from_many_threads(rt):
    counter = rt.remote(Counter).remote()
    threads = [threading.Thread(target=lambda: rt.get([counter.add.remote() for _ in range(200)])) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert rt.get(counter.add.remote(0)) == 1000


def test_ready_and_call_on_the_instance(rt):
    counter = rt.remote(Counter).remote(3)
    assert rt.get(counter.__ray_ready__.remote(), timeout=60) is True
    assert rt.get(counter.__ray_call__.remote(lambda self, more: self.value + more, 4)) == 7


def test_exit_actor(rt):
    @rt.remote
    class Leaves:
        def leave(self):
            rt.actor.exit_actor()

    actor = Leaves.remote()
    with pytest.raises(rt.exceptions.RayActorError):
        rt.get(actor.leave.remote(), timeout=60)
    with pytest.raises(rt.exceptions.RayActorError):
        rt.get(actor.leave.remote(), timeout=60)


MISUSES = {
    "direct": (lambda rt, cls: cls(), TypeError, "cannot be instantiated directly"),
    "unknown-method": (lambda rt, cls: cls.remote().no_such_method, AttributeError, "no_such_method"),
    "direct-method": (lambda rt, cls: cls.remote().add(), TypeError, "remote"),
    "inherit": (lambda rt, cls: type("Sub", (cls,), {}), TypeError, None),
    "kill-str": (lambda rt, cls: rt.kill("actor"), ValueError, None),
    "kill-ref": (lambda rt, cls: rt.kill(rt.put(1)), ValueError, None),
    "too-many": (lambda rt, cls: cls.remote().add.remote(1, 2, 3), TypeError, None),
    "wrong-keyword": (lambda rt, cls: cls.remote().add.remote(wrong=3), TypeError, None),
}


@pytest.mark.parametrize("how", MISUSES)
def test_misuse(rt, how):
    misuse, error, text = MISUSES[how]
    with pytest.raises(error, match=text):
        misuse(rt, rt.remote(Counter))


def test_an_actor_calls_itself(rt):
    @rt.remote
    class Counter:
        def __init__(self):
            self.total = 0

        def add(self, amount):
            self.total += amount
            return self.total

        def add_later(self, me, amounts):
            return [me.add.remote(amount) for amount in amounts]

    counter = Counter.remote()
    later = rt.get(counter.add_later.remote(counter, range(1000)))
    assert rt.get(later[-1], timeout=60) == sum(range(1000))
    assert rt.get(counter.add.remote(1)) == sum(range(1000)) + 1


def test_a_task_leaves_its_actor_to_others(start):
    rt = start(num_cpus=1)

    @rt.remote
    class Home:
        def pid(self):
            return os.getpid()

    @rt.remote
    def make():
        return Home.remote(), os.getpid()

    made = rt.get([make.remote() for _ in range(5)], timeout=60)
    homes = rt.get([home.pid.remote() for home, _ in made], timeout=60)
    assert len(set(homes)) == 5
    assert not {maker for _, maker in made} & set(homes)
