"""What a call gives back: number of returns, sizes, generators, wrong counts."""

import numpy
import pytest


def test_one_return_is_a_reference(rt):
    @rt.remote
    def one():
        return [1, 2]

    ref = one.remote()
    assert isinstance(ref, rt.ObjectRef)
    assert rt.get(ref) == [1, 2]


def test_no_returns_give_none(rt):
    @rt.remote(num_returns=0)
    def nothing():
        return None

    assert nothing.remote() is None


@pytest.mark.parametrize("count", [2, 3, 20])
def test_several_returns_are_a_list_of_references(rt, count):
    @rt.remote
    def several():
        return tuple(range(count))

    refs = several.options(num_returns=count).remote()
    assert isinstance(refs, list) and len(refs) == count == len(set(refs))
    assert rt.get(refs) == list(range(count))


def test_any_sequence_counts_as_several(rt):
    @rt.remote(num_returns=2)
    def array():
        return numpy.array([[1, 2], [3, 4]])

    first, second = rt.get(array.remote())
    assert first.tolist() == [1, 2] and second.tolist() == [3, 4]


@pytest.mark.parametrize("answer", [(1,), (1, 2, 3), ()])
def test_a_wrong_number_of_returns_is_an_error_of_each(rt, answer):
    @rt.remote(num_returns=2)
    def wrong():
        return answer

    for ref in wrong.remote():
        with pytest.raises(ValueError, match="num_returns=2"):
            rt.get(ref, timeout=30)


def test_a_single_value_for_two_returns_is_an_error(rt):
    @rt.remote(num_returns=2)
    def wrong():
        return 5

    for ref in wrong.remote():
        with pytest.raises((ValueError, TypeError)):
            rt.get(ref, timeout=30)


def test_an_exception_is_the_value_of_every_return(rt):
    @rt.remote(num_returns=2)
    def fail():
        raise KeyError("both")

    for ref in fail.remote():
        with pytest.raises(KeyError):
            rt.get(ref)


def test_a_generator_with_too_few_values(rt):
    @rt.remote(num_returns=3)
    def short():
        yield 1

    with pytest.raises(ValueError):
        rt.get(short.remote()[2])


def test_a_generator_with_too_many_values(rt):
    @rt.remote(num_returns=2)
    def long():
        yield from range(5)

    assert rt.get(long.remote()) == [0, 1]


def test_a_generator_that_raises_keeps_what_it_yielded(rt):
    @rt.remote(num_returns=3)
    def breaks():
        yield "first"
        raise RuntimeError("then")

    first, second, third = breaks.remote()
    assert rt.get(first) == "first"
    for ref in (second, third):
        with pytest.raises(RuntimeError, match="then"):
            rt.get(ref)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000, 20_000_000])
def test_returns_of_every_size(rt, size):
    @rt.remote
    def make(n):
        return numpy.full(n, 7, dtype=numpy.uint8)

    answer = rt.get(make.remote(size))
    assert answer.shape == (size,) and bool((answer == 7).all())


def test_large_and_small_returns_together(rt):
    @rt.remote(num_returns=3)
    def mixed():
        return 1, numpy.ones(500_000), "x"

    one, array, text = rt.get(mixed.remote())
    assert (one, float(array.sum()), text) == (1, 500_000.0, "x")


def test_a_task_returns_a_reference_it_was_given_or_made(rt):
    @rt.remote
    def give(box):
        return [box[0], rt.put("new")]

    old = rt.put("old")
    refs = rt.get(give.remote([old]))
    assert refs[0] == old
    assert rt.get(refs) == ["old", "new"]


def test_results_that_nobody_reads_do_no_harm(rt):
    @rt.remote
    def waste():
        return numpy.ones(100_000)

    for _ in range(50):
        waste.remote()
    assert rt.get(waste.remote()).shape == (100_000,)
