"""Arguments by value and by reference: kinds of parameters, containers, sizes, checks on the caller's side."""

import collections
import dataclasses
import decimal
import enum

import numpy
import pytest


def test_kinds_of_parameters(rt):
    @rt.remote
    def show(a, /, b, *rest, c=3, d, **more):
        return a, b, rest, c, d, more

    assert rt.get(show.remote(1, 2, d=4)) == (1, 2, (), 3, 4, {})
    assert rt.get(show.remote(1, 2, 7, 8, d=4, c=5, e=6)) == (1, 2, (7, 8), 5, 4, {"e": 6})
    assert rt.get(show.remote(1, b=2, d=4)) == (1, 2, (), 3, 4, {})


def test_defaults_of_every_kind(rt):
    marker = object()

    @rt.remote
    def show(a=None, b=(1, 2), c=marker):
        return a, b, c is not None

    assert rt.get(show.remote()) == (None, (1, 2), True)


@pytest.mark.parametrize("args, kwargs", [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"a": 1})])
def test_wrong_arguments_are_refused_by_the_caller(rt, args, kwargs):
    @rt.remote
    def two(a, b=0):
        return a

    with pytest.raises(TypeError):
        two.remote(*args, **kwargs)


def test_references_become_values(rt):
    @rt.remote
    def add(a, b, *, c=0):
        return a + b + c

    one, two = rt.put(1), rt.put(2)
    assert rt.get(add.remote(one, two)) == 3
    assert rt.get(add.remote(one, one, c=two)) == 4
    assert rt.get(add.remote(1, b=two, c=one)) == 4


def test_references_in_containers_stay_references(rt):
    @rt.remote
    def look(box):
        assert isinstance(box["refs"][0], rt.ObjectRef)
        return rt.get(box["refs"])

    refs = [rt.put(i) for i in range(5)]
    assert rt.get(look.remote({"refs": refs})) == list(range(5))


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**62,
    -(2**63),
    2**64,
    2**200,
    1.5,
    float("inf"),
    "",
    "text",
    "\u00e9\U0001f600\0",
    b"",
    b"\0\xff",
    (),
    [],
    {},
    set(),
    frozenset({1}),
    (1, (2, (3,))),
    [1, [2, [3]]],
    {"a": {"b": [1]}},
    {1: 2, (1, 2): 3},
    1 + 2j,
    decimal.Decimal("1.10"),
    range(3),
    slice(1, 2),
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    int,
    len,
    ...,
]


@pytest.mark.parametrize("value", VALUES, ids=[repr(value)[:30] for value in VALUES])
def test_values_round_trip(rt, value):
    @rt.remote
    def echo(x):
        return x

    for answer in (rt.get(echo.remote(value)), rt.get(rt.put(value)), rt.get(echo.remote(rt.put(value)))):
        assert answer == value and type(answer) is type(value)


@pytest.mark.iosdk
def test_a_bytearray_stays_one_and_can_be_changed(rt):
    @rt.remote
    def grow(x):
        x += b"!"
        return x

    assert rt.get(grow.remote(bytearray(b"abc"))) == bytearray(b"abc!")
    again = rt.get(rt.put(bytearray(b"x" * 200_000)))
    assert type(again) is bytearray and len(again) == 200_000
    again[0] = 0


def test_own_types_round_trip(rt):
    @dataclasses.dataclass
    class Local:
        x: int

    class Small(int):
        pass

    Named = collections.namedtuple("Named", "left right")

    class Shade(enum.Enum):
        RED = 1

    @rt.remote
    def echo(x):
        return x

    assert rt.get(echo.remote(Local(1))) == Local(1)
    answer = rt.get(echo.remote([Small(3), Named(1, 2), Shade.RED]))
    assert answer == [3, (1, 2), Shade.RED]
    assert [type(item) for item in answer] == [Small, Named, Shade]


def test_identity_and_cycles_inside_one_argument(rt):
    @rt.remote
    def check(x):
        return x[0] is x[1], x[2][0] is x[2]

    cycle = []
    cycle.append(cycle)
    shared = [1]
    assert rt.get(check.remote([shared, shared, cycle])) == (True, True)


@pytest.mark.parametrize("size", [0, 1, 100, 4000, 5000, 65_535, 65_536, 65_537, 100_000, 1_000_000, 5_000_000])
def test_arguments_of_every_size(rt, size):
    @rt.remote
    def measure(data):
        return len(data), data[:1], data[-1:], data

    data = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    length, first, last, whole = rt.get(measure.remote(data))
    assert (length, first, last) == (size, data[:1], data[-1:]) and whole == data


def test_many_arguments(rt):
    @rt.remote
    def total(*parts):
        return sum(len(part) for part in parts)

    assert rt.get(total.remote(*[b"x" * 50_000] * 200)) == 10_000_000


def test_mutating_an_argument_does_not_reach_the_caller(rt):
    @rt.remote
    def grow(items):
        items.append(1)
        return len(items)

    items = []
    shared = rt.put(items)
    assert rt.get([grow.remote(items), grow.remote(items), grow.remote(shared), grow.remote(shared)]) == [1, 1, 1, 1]
    assert items == []


def test_changing_an_argument_after_the_call_changes_nothing(rt):
    @rt.remote
    def total(x):
        return float(x.sum())

    array = numpy.ones(50_000)
    ref = total.remote(array)
    array[:] = 7
    assert rt.get(ref) == 50_000.0


def test_an_array_argument_is_read_only_when_it_came_by_reference(rt):
    @rt.remote
    def writable(x):
        return bool(x.flags.writeable), float(x.sum())

    assert rt.get(writable.remote(rt.put(numpy.ones(1_000_000)))) == (False, 1_000_000.0)


def test_functions_and_classes_as_arguments(rt):
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return self.factor * x

    @rt.remote
    def apply(function, x):
        return function(x)

    assert rt.get(apply.remote(lambda x: x + 1, 1)) == 2
    assert rt.get(apply.remote(Scale(3), 2)) == 6
    assert rt.get(apply.remote(Scale, 2)).factor == 2
