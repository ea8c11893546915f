"""Object rows: small puts, large puts beside memcpy, gets, objects full of references."""

import statistics
import time

import callee

from . import Row

MIB = 1024 * 1024
LARGE = 100 * MIB


def ones(size=LARGE):
    """An array of bytes; numpy is imported here, so that rows about memory do not carry it."""
    import numpy

    return numpy.ones(size, dtype=numpy.uint8)


def put_small(bench):
    put = bench.rt.put
    return bench.sync(lambda: put(0), counted=False, high=20_000)


def put_small_clients(bench):
    rt = bench.rt
    callers = [rt.remote(callee.Client).remote(bench.target) for _ in range(4)]
    bench.elsewhere(rt.get([caller.pid.remote() for caller in callers]))
    number = bench.size(1000, 100)
    return bench.rates(lambda: rt.get([caller.puts.remote(number) for caller in callers]), 4 * number)


def get_array(bench):
    get, ref = bench.rt.get, bench.rt.put(ones(MIB))
    return bench.sync(lambda: get(ref), counted=False, high=50_000)


def put_rate(bench, array):
    began = time.perf_counter()
    ref = bench.rt.put(array)
    took = time.perf_counter() - began
    del ref
    return array.nbytes / took / 1e9


def put_large(bench):
    """GB/s of puts in a loop, each round of eight dropped as it goes."""
    array = ones()
    for _ in range(4):
        put_rate(bench, array)
    return [statistics.median(put_rate(bench, array) for _ in range(4)) for _ in range(bench.size(15, 2))]


def put_large_share(bench):
    """The same as a share of a warm memcpy, both measured in turn."""
    array = ones()
    for _ in range(4):
        put_rate(bench, array)
    return [
        statistics.median(put_rate(bench, array) for _ in range(4)) / (callee.copy_rate(LARGE) / 1e9)
        for _ in range(bench.size(9, 2))
    ]


def first_put(bench):
    """GB/s of the first put of a session: sessions of their own."""
    from core import begin, end

    array, rates = ones(), []
    for _ in range(bench.size(5, 1)):
        rt = begin(bench.target)
        bench.rt = rt
        rt.get(rt.remote(callee.small).remote())
        rates.append(put_rate(bench, array))
        end(bench.target, rt)
    return rates


def fresh_worker_put(bench):
    """The first put of a new worker, as a share of memcpy in that worker."""
    rt, shares = bench.rt, []
    put_rate(bench, ones())
    for _ in range(bench.size(7, 2)):
        client = rt.remote(callee.Client).remote(bench.target)
        bench.elsewhere([rt.get(client.pid.remote())])
        took, copy = rt.get(client.put_large.remote(LARGE))
        shares.append(LARGE / took / copy)
    return shares


def many_references(bench):
    rt = bench.rt
    ref = rt.remote(callee.references).remote(rt.put, bench.size(10_000, 1000))
    rt.wait([ref])
    return bench.sync(lambda: rt.get(ref), counted=False, high=200)


ROWS = [
    Row("put of small objects", "/s", put_small, floor=150),
    Row("put of small objects, 4 clients", "/s", put_small_clients, floor=50),
    Row("get of a stored 1 MiB array", "/s", get_array, floor=6),
    Row("put of 100 MiB arrays", "GB/s", put_large, floor=4),
    Row("put of 100 MiB arrays over memcpy", "share", put_large_share, limit=0.75),
    Row("first put of a session, 100 MiB", "GB/s", first_put, limit=4, session=False),
    Row("first put of a fresh worker over memcpy", "share", fresh_worker_put, limit=0.6),
    Row("get of an object holding 10,000 refs", "/s", many_references, floor=20),
]
