"""What is not there yet raises NotImplementedError naming itself, at the place where it is asked for."""

import pytest

pytestmark = pytest.mark.iosdk


class Plain:
    def work(self):
        return 1


class Async:
    async def work(self):
        return 1


def generator():
    yield 1


ASKED = {
    "named actor": lambda rt: rt.remote(Plain).options(name="x").remote(),
    "detached actor": lambda rt: rt.remote(Plain).options(lifetime="detached").remote(),
    "get_if_exists": lambda rt: rt.remote(Plain).options(name="x", get_if_exists=True).remote(),
    "get_actor": lambda rt: rt.get_actor("x"),
    "async actor": lambda rt: rt.remote(Async).remote(),
    "threaded actor": lambda rt: rt.remote(Plain).options(max_concurrency=4).remote(),
    "concurrency groups": lambda rt: rt.remote(concurrency_groups={"io": 2})(Plain).remote(),
    "restarts": lambda rt: rt.remote(Plain).options(max_restarts=1).remote(),
    "streaming generator": lambda rt: rt.remote(generator).remote(),
    "streaming option": lambda rt: rt.remote(generator).options(num_returns="streaming").remote(),
    "dynamic option": lambda rt: rt.remote(generator).options(num_returns="dynamic").remote(),
    "scheduling strategy": lambda rt: rt.remote(lambda: 1).options(scheduling_strategy="SPREAD").remote(),
    "runtime environment": lambda rt: rt.remote(lambda: 1).options(runtime_env={"env_vars": {"A": "1"}}).remote(),
    "label selector": lambda rt: rt.remote(lambda: 1).options(label_selector={"a": "b"}).remote(),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_is_missing_says_so(rt, what):
    with pytest.raises(NotImplementedError) as caught:
        ASKED[what](rt)
    assert len(str(caught.value)) > 10
    assert rt.get(rt.remote(lambda: 1).remote(), timeout=30) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "ray://127.0.0.1:10001"])
def test_other_clusters(alone, address):
    with pytest.raises(NotImplementedError, match="network"):
        alone.init(address=address)
    assert not alone.is_initialized()


def test_a_head_that_nobody_started(alone, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(ConnectionError, match="iosdk start --head"):
        alone.init(address="auto")
    assert not alone.is_initialized()
