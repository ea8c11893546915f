"""Objects: put and get, zero copies, views that outlive references, kinds of buffers."""

import gc

import numpy
import pytest
from probes import start_options

MIB = 1024 * 1024


def address_of(array):
    return array.__array_interface__["data"][0]


def test_put_refuses_a_reference(rt):
    with pytest.raises(TypeError):
        rt.put(rt.put(1))


def test_large_arrays_are_read_only_views_of_one_copy(rt):
    ref = rt.put(numpy.arange(1_000_000))
    one, two = rt.get(ref), rt.get(ref)
    assert one is not two and address_of(one) == address_of(two)
    assert address_of(one) % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        one[0] = 1
    with pytest.raises(ValueError):
        one.flags.writeable = True


def test_a_worker_sees_the_same_bytes(rt):
    @rt.remote
    def check(x):
        return float(x.sum()), bool(x.flags.writeable)

    array = numpy.random.default_rng(1).random(500_000)
    assert rt.get(check.remote(rt.put(array))) == (float(array.sum()), False)


def test_every_get_gives_a_new_object(rt):
    ref = rt.put({"list": [1, 2]})
    rt.get(ref)["list"].append(3)
    assert rt.get(ref) == {"list": [1, 2]}


def test_a_put_is_a_copy(rt):
    array = numpy.zeros(500_000)
    ref = rt.put(array)
    array[:] = 1
    assert float(rt.get(ref).sum()) == 0.0


def test_a_view_outlives_its_reference(rt):
    array = rt.get(rt.put(numpy.full(4 * MIB, 5, dtype=numpy.uint8)))
    part = array[100:200]
    del array
    gc.collect()
    for i in range(100):
        rt.put(numpy.full(4 * MIB, i % 5, dtype=numpy.uint8))
    assert bool((part == 5).all())


ARRAYS = {
    "empty": numpy.empty((0, 3)),
    "scalar": numpy.array(5.0),
    "fortran": numpy.asfortranarray(numpy.arange(60_000.0).reshape(200, 300)),
    "strided": numpy.arange(100_000)[::3],
    "object": numpy.array([{"a": 1}, None, "x"], dtype=object),
    "text": numpy.array(["a", "bcd"] * 50_000),
    "bool": numpy.array([True, False] * 100_000),
    "complex": numpy.full(50_000, 1 + 2j),
    "big-endian": numpy.arange(100_000, dtype=">i4"),
    "datetime": numpy.array(["2020-01-01"] * 50_000, dtype="datetime64[D]"),
    "half": numpy.ones(100_000, dtype=numpy.float16),
    "structured": numpy.array([(1, 2.5, b"ab")] * 20_000, dtype=[("i", "i4"), ("f", "f8"), ("s", "S2")]),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_every_kind(rt, kind):
    @rt.remote
    def echo(x):
        return x

    array = ARRAYS[kind]
    for back in (rt.get(rt.put(array)), rt.get(echo.remote(array)), rt.get(echo.remote(rt.put(array)))):
        assert back.dtype == array.dtype and back.shape == array.shape
        assert numpy.array_equal(back, array)


def test_masked_arrays_and_matrices_of_other_libraries(rt):
    sparse = pytest.importorskip("scipy.sparse")
    masked = numpy.ma.masked_array(numpy.arange(100_000), mask=[False, True] * 50_000)
    back, matrix = rt.get(rt.put([masked, sparse.eye(1000, format="csr")]))
    assert back.mask.tolist() == masked.mask.tolist() and matrix.shape == (1000, 1000) and matrix.sum() == 1000


@pytest.mark.parametrize("size", [0, 10, 200_000, 5 * MIB])
def test_bytes(rt, size):
    data = bytes(size)
    assert rt.get(rt.put(data)) == data


def test_a_memoryview_arrives_as_bytes(rt):
    assert rt.get(rt.put([memoryview(b"abc")])) == [b"abc"]


def test_arrow_tables(rt):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"x": list(range(100_000)), "y": ["text"] * 100_000})

    @rt.remote
    def total(table):
        return arrow.compute.sum(table["x"]).as_py() if hasattr(arrow, "compute") else sum(table["x"].to_pylist())

    ref = rt.put(table)
    assert rt.get(ref).equals(table)
    assert rt.get(total.remote(ref)) == sum(range(100_000))


def test_many_arrays_in_one_object(rt):
    arrays = [numpy.full(10_000, i) for i in range(100)]
    back = rt.get(rt.put(arrays))
    assert all(numpy.array_equal(one, two) for one, two in zip(arrays, back, strict=True))


def test_shared_arrays_inside_one_object_stay_shared(rt):
    array = numpy.ones(100_000)
    one, two = rt.get(rt.put([array, array]))
    assert one is two


def test_an_object_made_by_a_task_is_shared_too(rt):
    @rt.remote
    def make():
        return numpy.arange(1_000_000)

    ref = make.remote()
    one, two = rt.get([ref, ref])
    assert address_of(one) == address_of(two) and not one.flags.writeable


def test_reduce_that_uses_the_api(rt):
    class Lazy:
        def __init__(self, value):
            self.value = value

        def __reduce__(self):
            ref = rt.put(self.value)
            return rt.get, (ref,)

    assert rt.get(rt.put(Lazy("inside"))) == "inside"


def test_references_pickled_in_an_order_other_than_they_are_loaded(rt):
    """`__reduce__` pickles some of its references itself, so those are noted first and loaded last."""
    import pickle

    first, second, third = (rt.put(name) for name in ("first", "second", "third"))

    class Sealed:
        def __init__(self, before, inside, after):
            self.parts = before, inside, after

        def __reduce__(self):
            before, inside, after = self.parts
            return unseal, (before, pickle.dumps(inside), after)

    def unseal(before, inside, after):
        return Sealed(before, pickle.loads(inside), after)

    def read(sealed):
        before, inside, after = sealed.parts
        return rt.get([before, *inside, after])

    stored = rt.put([third, Sealed(first, [second, third], third), first])
    for _ in range(3):
        head, sealed, tail = rt.get(stored)
        assert read(sealed) == ["first", "second", "third", "third"]
        assert rt.get([head, tail]) == ["third", "first"] and head is sealed.parts[2] and tail is sealed.parts[0]
    assert rt.get(rt.remote(lambda value: read(value[1])).remote(stored)) == ["first", "second", "third", "third"]


@pytest.mark.iosdk
def test_a_view_outlives_the_session(api, start):
    start()
    array = api.get(api.put(numpy.full(8 * MIB, 3, dtype=numpy.uint8)))
    api.shutdown()
    assert int(array.sum(dtype=numpy.int64)) == 3 * 8 * MIB
    api.init(**start_options())
    other = api.get(api.put(numpy.full(8 * MIB, 4, dtype=numpy.uint8)))
    assert int(array.sum(dtype=numpy.int64)) == 3 * 8 * MIB and int(other[0]) == 4
