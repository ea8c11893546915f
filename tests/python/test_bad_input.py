"""What bad input gets: Ray's exception class, what was given and what was expected; nothing is lost, nothing hangs."""

import threading

import pytest

OPTIONS = {
    "unknown": ({"no_such": 1}, ValueError, "no_such"),
    "cpus-negative": ({"num_cpus": -1}, ValueError, "num_cpus"),
    "cpus-text": ({"num_cpus": "two"}, TypeError, "num_cpus"),
    "cpus-tiny": ({"num_cpus": 0.00001}, ValueError, None),
    "gpus-negative": ({"num_gpus": -1}, ValueError, "num_gpus"),
    "resources-list": ({"resources": ["a"]}, TypeError, "resources"),
    "resources-cpu": ({"resources": {"CPU": 1}}, ValueError, "CPU"),
    "memory-text": ({"memory": "1g"}, TypeError, "memory"),
    "returns-negative": ({"num_returns": -1}, ValueError, "num_returns"),
    "returns-text": ({"num_returns": "many"}, (ValueError, TypeError), None),
    "retries-negative": ({"max_retries": -2}, ValueError, "max_retries"),
    "retries-text": ({"max_retries": "3"}, TypeError, "max_retries"),
    "retry-exceptions": ({"retry_exceptions": 5}, TypeError, "retry_exceptions"),
    "retry-exceptions-list": ({"retry_exceptions": [5]}, ValueError, "retry_exceptions"),
    "actor-only": ({"max_restarts": 1}, ValueError, "max_restarts"),
}


@pytest.mark.parametrize("where", ["decorator", "options"])
@pytest.mark.parametrize("case", OPTIONS)
def test_options_of_functions(rt, case, where):
    options, error, text = OPTIONS[case]
    with pytest.raises(error, match=text):
        if where == "decorator":
            rt.remote(**options)(lambda: 1)
        else:
            rt.remote(lambda: 1).options(**options)


ACTOR_OPTIONS = {
    "unknown": ({"no_such": 1}, ValueError, "no_such"),
    "cpus-negative": ({"num_cpus": -1}, ValueError, "num_cpus"),
    "cpus-text": ({"num_cpus": "two"}, TypeError, "num_cpus"),
    "resources-gpu": ({"resources": {"GPU": 1}}, ValueError, "GPU"),
    "task-only": ({"max_retries": 1}, ValueError, "max_retries"),
    "returns": ({"num_returns": 2}, ValueError, "num_returns"),
    "concurrency-text": ({"max_concurrency": "x"}, TypeError, "max_concurrency"),
    "restarts": ({"max_restarts": -2}, ValueError, "max_restarts"),
}


@pytest.mark.parametrize("case", ACTOR_OPTIONS)
def test_options_of_classes(rt, case):
    options, error, text = ACTOR_OPTIONS[case]
    with pytest.raises(error, match=text):
        rt.remote(**options)(type("A", (), {}))
    with pytest.raises(error, match=text):
        rt.remote(type("A", (), {})).options(**options)


@pytest.mark.parametrize("given", [5, "text", None, [1]], ids=repr)
def test_what_is_no_function_or_class(rt, given):
    with pytest.raises((TypeError, AssertionError)):
        rt.remote(given)


def test_empty_parentheses(rt):
    with pytest.raises(AssertionError):
        rt.remote()


@pytest.mark.parametrize("case", ["negative", "text"])
def test_resource_quantities(rt, case):
    quantity = {"negative": -1, "text": "one"}[case]
    with pytest.raises((ValueError, TypeError)):
        rt.get(rt.remote(lambda: 1).options(resources={"slot": quantity}).remote(), timeout=5)


class HasLock:
    """Cannot be pickled, because of one attribute."""

    def __init__(self):
        self.fine = 1
        self.offending_attribute = threading.Lock()


def test_an_argument_that_cannot_be_pickled(rt):
    @rt.remote
    def named(x):
        return x

    with pytest.raises(TypeError, match="Could not serialize the argument") as caught:
        named.remote(HasLock())
    assert "named" in str(caught.value) and "HasLock" in str(caught.value)
    assert rt.get(named.remote(1)) == 1


@pytest.mark.iosdk
def test_the_offending_attribute_is_named(rt):
    with pytest.raises(TypeError, match="offending_attribute"):
        rt.remote(lambda x: x).remote({"deep": [HasLock()]})
    with pytest.raises(TypeError, match="offending_attribute"):
        rt.put(HasLock())


def test_a_put_that_cannot_be_pickled(rt):
    with pytest.raises(TypeError, match="Could not serialize the put value"):
        rt.put(HasLock())


def test_a_function_that_cannot_be_pickled(rt):
    lock = threading.Lock()

    @rt.remote
    def captures():
        return lock

    with pytest.raises(TypeError, match="Could not serialize the function"):
        captures.remote()


def test_a_class_that_cannot_be_pickled(rt):
    lock = threading.Lock()

    @rt.remote
    class Captures:
        def work(self):
            return lock

    with pytest.raises(TypeError, match="Could not serialize the actor class"):
        Captures.remote()


def test_an_actor_argument_that_cannot_be_pickled(rt):
    @rt.remote
    class Actor:
        def __init__(self, x=None):
            self.x = x

        def work(self, x):
            return x

    with pytest.raises(TypeError, match="Could not serialize the argument"):
        Actor.remote(HasLock())
    actor = Actor.remote()
    with pytest.raises(TypeError, match="Could not serialize the argument"):
        actor.work.remote(HasLock())
    assert rt.get(actor.work.remote(2), timeout=60) == 2


def test_an_error_while_pickling_is_shown(rt):
    class Angry:
        def __reduce__(self):
            raise RuntimeError("I will not be pickled")

    with pytest.raises((TypeError, RuntimeError), match="I will not be pickled"):
        rt.put(Angry())


def test_an_error_while_unpickling_is_raised_by_get(rt):
    def explode():
        raise RuntimeError("I will not be unpickled")

    class Trap:
        def __reduce__(self):
            return explode, ()

    with pytest.raises(Exception, match="I will not be unpickled"):
        rt.get(rt.put(Trap()), timeout=30)

    @rt.remote
    def take(x):
        return 1

    with pytest.raises(Exception, match="I will not be unpickled"):
        rt.get(take.remote(Trap()), timeout=60)
    with pytest.raises(Exception, match="I will not be unpickled"):
        rt.get(rt.remote(lambda: Trap()).remote(), timeout=60)
    assert rt.get(take.remote(1), timeout=60) == 1


def test_a_function_that_is_far_too_large(rt):
    data = bytes(110 * 1024 * 1024)

    @rt.remote
    def large():
        return len(data)

    with pytest.raises(ValueError, match="too large"):
        large.remote()


@pytest.mark.parametrize("timeout", ["soon", [1]], ids=repr)
def test_a_timeout_that_is_no_number(rt, timeout):
    with pytest.raises((TypeError, ValueError)):
        rt.get(rt.put(1), timeout=timeout)


@pytest.mark.iosdk
def test_a_full_disk_does_not_stop_calls(driver):
    out = driver("""
        import resource

        rt.init(**START)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        print("GOT", rt.get([rt.remote(lambda: 5).remote() for _ in range(20)], timeout=30) == [5] * 20)
        rt.shutdown()
    """).succeeds()
    assert "GOT True" in out
