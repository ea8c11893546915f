"""`init` and `shutdown`: options, what is refused, what belongs to an old session."""

import pytest
from probes import start_options


@pytest.fixture(autouse=True)
def no_session(alone):
    """Each test here begins and ends without a cluster."""


def test_is_initialized_and_shutdown(api, start):
    assert api.is_initialized() is False
    start()
    assert api.is_initialized() is True
    api.shutdown()
    api.shutdown()
    assert api.is_initialized() is False


def test_two_inits(api, start):
    start()
    with pytest.raises(RuntimeError, match="init"):
        api.init(**start_options())
    api.init(**start_options(), ignore_reinit_error=True)
    assert api.get(api.put(1)) == 1


def test_init_gives_a_context(api):
    with api.init(**start_options()) as context:
        assert api.is_initialized()
        assert context.address_info["node_id"]
    assert not api.is_initialized()


@pytest.mark.parametrize("option", [{"no_such_option": 1}, {"num_cpu": 2}], ids=["unknown", "misspelt"])
def test_unknown_options_are_named(api, option):
    with pytest.raises(RuntimeError, match=next(iter(option))):
        api.init(**start_options(**option))
    assert not api.is_initialized()


@pytest.mark.parametrize("namespace, error", [("", ValueError), (5, TypeError)], ids=["empty", "number"])
def test_a_wrong_namespace(api, namespace, error):
    with pytest.raises(error, match="namespace"):
        api.init(**start_options(namespace=namespace))


def test_a_namespace(api, start):
    start(namespace="mine")
    assert api.get_runtime_context().namespace == "mine"


@pytest.mark.iosdk
@pytest.mark.parametrize(
    "option",
    [
        {"num_cpus": -1},
        {"num_cpus": "two"},
        {"num_gpus": -1},
        {"resources": ["a"]},
        {"resources": {"CPU": 1}},
        {"resources": {"a": -1}},
        {"resources": {"a": "b"}},
        {"object_store_memory": -5},
        {"object_store_memory": "1g"},
        {"infeasible": "explode"},
    ],
    ids=repr,
)
def test_wrong_values_of_options(api, option):
    with pytest.raises((ValueError, TypeError)) as caught:
        api.init(**start_options(**option))
    assert next(iter(option)) in str(caught.value)
    assert not api.is_initialized()


CALLS = {
    "get": lambda api: api.get(api.ObjectRef(b"\x01" * 28) if api.__name__ == "ray" else []),
    "put": lambda api: api.put(1),
    "task": lambda api: api.remote(lambda: 1).remote(),
    "actor": lambda api: api.remote(type("A", (), {})).remote(),
    "nodes": lambda api: api.nodes(),
    "cluster_resources": lambda api: api.cluster_resources(),
    "available_resources": lambda api: api.available_resources(),
    "wait": lambda api: api.wait([]),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_before_init_says_so(api, call):
    with pytest.raises(api.exceptions.RaySystemError, match="has not been started yet"):
        CALLS[call](api)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_after_shutdown_says_so(api, start, call):
    start()
    assert api.get(api.put(1)) == 1
    api.shutdown()
    with pytest.raises(api.exceptions.RaySystemError, match="has not been started yet"):
        CALLS[call](api)


def test_a_reference_of_an_old_session(api, start):
    start()
    old = api.put(1)
    api.shutdown()
    start()
    with pytest.raises(ValueError, match="owner is unknown"):
        api.get(old)
    with pytest.raises(ValueError, match="owner is unknown"):
        api.remote(lambda x: x).remote(old)
    with pytest.raises(ValueError, match="owner is unknown"):
        api.remote(lambda x: x).remote([old])


def test_a_handle_of_an_old_session(api, start):
    start()
    actor = api.remote(type("Old", (), {"work": lambda self: 1})).remote()
    assert api.get(actor.work.remote(), timeout=60) == 1
    api.shutdown()
    start()
    with pytest.raises(ValueError):
        api.kill(actor)
    with pytest.raises(Exception):  # noqa: B017 - any clear refusal will do, a hang will not
        api.get(actor.work.remote(), timeout=30)


@pytest.mark.iosdk
def test_many_sessions_in_a_row(api):
    for i in range(10):
        api.init(**start_options())
        assert api.get(api.remote(lambda x: x).remote(i), timeout=30) == i
        api.shutdown()


@pytest.mark.iosdk
def test_shutdown_releases_a_waiting_thread(api, start, flag):
    import threading

    from probes import eventually, wait_for_file

    start()
    running = flag.parent / "running"

    @api.remote
    def block():
        running.touch()
        wait_for_file(flag)

    errors = []

    def wait():
        try:
            api.get(block.remote())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(running.exists, 30, "a running task")
    api.shutdown()
    thread.join(10)
    assert not thread.is_alive() and isinstance(errors[0], api.exceptions.RayError)


@pytest.mark.iosdk
def test_the_default_store_respects_a_limit(api):
    api.init(num_cpus=1, log_to_driver=False)
    with open("/proc/meminfo") as file:
        total = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemTotal"))
    limit = total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                text = file.read().strip()
            limit = min(limit, total if text == "max" else int(text))
        except OSError:
            continue
    assert 0 < api.cluster_resources()["object_store_memory"] <= 0.5 * limit


def test_a_version(api):
    assert isinstance(api.__version__, str) and api.__version__
