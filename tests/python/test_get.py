"""`get`: lists, timeouts, the first error, what is refused."""

import time

import pytest
from probes import wait_for_file


def test_lists_keep_order_and_duplicates(rt):
    one, two = rt.put(1), rt.put(2)
    assert rt.get([two, one, two]) == [2, 1, 2]
    assert rt.get([]) == []


def test_a_timeout_names_itself(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)
        return 5

    ref = slow.remote()
    began = time.monotonic()
    with pytest.raises(rt.exceptions.GetTimeoutError) as caught:
        rt.get(ref, timeout=0.2)
    assert isinstance(caught.value, TimeoutError) and isinstance(caught.value, rt.exceptions.RayError)
    assert 0.15 <= time.monotonic() - began < 5
    with pytest.raises(rt.exceptions.GetTimeoutError):
        rt.get([rt.put(1), ref], timeout=0)
    flag.touch()
    assert rt.get(ref, timeout=60) == 5


@pytest.mark.iosdk
def test_the_text_of_a_timeout_says_how_many_are_missing(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)

    with pytest.raises(rt.exceptions.GetTimeoutError) as caught:
        rt.get([slow.remote(), rt.put(1), rt.put(2)], timeout=0.1)
    text = str(caught.value)
    assert "1" in text and "3" in text and "0.1" in text


def test_zero_timeout_of_something_ready(rt):
    assert rt.get(rt.put("ready"), timeout=0) == "ready"


def test_the_first_error_does_not_wait_for_the_rest(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)

    @rt.remote
    def fail():
        raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        rt.get([slow.remote(), fail.remote()], timeout=30)


@pytest.mark.parametrize(
    "given", [5, None, "text", (), {}, object()], ids=["int", "none", "str", "tuple", "dict", "object"]
)
def test_what_is_not_a_reference_is_refused(rt, given):
    with pytest.raises(ValueError, match="Invalid type of object refs"):
        rt.get(given)


def test_a_tuple_of_references_is_refused(rt):
    with pytest.raises(ValueError, match="Invalid type of object refs"):
        rt.get((rt.put(1),))


def test_a_list_with_one_thing_that_is_no_reference_is_refused(rt):
    with pytest.raises(TypeError, match="5"):
        rt.get([rt.put(1), 5])


def test_get_of_the_same_reference_from_many_threads(rt):
    import concurrent.futures

    @rt.remote
    def value():
        return list(range(1000))

    ref = value.remote()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(answer == list(range(1000)) for answer in pool.map(lambda _: rt.get(ref), range(64)))


def test_a_thread_that_waits_does_not_stop_others(rt, flag):
    import threading

    @rt.remote
    def slow():
        wait_for_file(flag)
        return "slow"

    @rt.remote
    def quick():
        return "quick"

    answers = []
    waiting = threading.Thread(target=lambda: answers.append(rt.get(slow.remote())))
    waiting.start()
    assert rt.get([quick.remote() for _ in range(20)], timeout=60) == ["quick"] * 20
    assert answers == []
    flag.touch()
    waiting.join(60)
    assert answers == ["slow"]
