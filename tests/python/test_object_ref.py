"""The ObjectRef itself: identity, text, awaiting, futures."""

import asyncio
import concurrent.futures

import pytest
from probes import wait_for_file


def test_identity(rt):
    one, two = rt.put(1), rt.put(1)
    assert one == one and one != two and hash(one) != hash(two)
    assert len({one, two, one}) == 2
    assert (one == 5) is False and (one != "x") is True


def test_names(rt):
    ref = rt.put(1)
    assert len(ref.binary()) == 28 and ref.hex() == ref.binary().hex()
    assert ref.hex() in repr(ref) and "ObjectRef" in repr(ref)
    assert len(ref.task_id().binary()) == 24 and ref.hex().startswith(ref.task_id().hex())
    assert ref.is_nil() is False


def test_it_is_a_type_with_a_parameter(rt):
    assert rt.ObjectRef[int] is not None
    assert isinstance(rt.put(1), rt.ObjectRef)


def test_returns_of_one_task_share_its_id(rt):
    @rt.remote(num_returns=2)
    def two():
        return 1, 2

    one, other = two.remote()
    assert one != other and one.task_id() == other.task_id()


def test_await(rt):
    @rt.remote
    def double(x):
        return 2 * x

    @rt.remote
    def fail():
        raise ValueError("awaited")

    async def main():
        ref = double.remote(4)
        assert await ref == 8
        assert await ref == 8
        assert await asyncio.gather(*[double.remote(i) for i in range(50)]) == [2 * i for i in range(50)]
        assert await rt.put("put") == "put"
        with pytest.raises(ValueError, match="awaited"):
            await fail.remote()
        return "done"

    assert asyncio.run(main()) == "done"


def test_a_cancelled_await_poisons_nothing(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)
        return "late"

    async def main():
        ref = slow.remote()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ref, 0.1)
        flag.touch()
        return await asyncio.wait_for(ref, 60)

    assert asyncio.run(main()) == "late"


def test_the_loop_runs_while_it_awaits(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)
        return "late"

    async def main():
        waiting = asyncio.ensure_future(asyncio.wait_for(slow.remote(), 60))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        flag.touch()
        return await waiting

    assert asyncio.run(main()) == "late"


def test_future(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)
        return "late"

    future = slow.remote().future()
    assert isinstance(future, concurrent.futures.Future) and not future.done()
    seen = []
    future.add_done_callback(seen.append)
    flag.touch()
    assert future.result(60) == "late" and seen == [future]


def test_future_of_an_error(rt):
    @rt.remote
    def fail():
        raise ValueError("in the future")

    assert isinstance(fail.remote().future().exception(60), ValueError)


def test_futures_complete_in_any_order(rt):
    @rt.remote
    def double(x):
        return 2 * x

    futures = [double.remote(i).future() for i in range(20)]
    done = concurrent.futures.as_completed(futures, 60)
    assert sorted(future.result() for future in done) == [2 * i for i in range(20)]
