"""Task rows: one at a time, a thousand at once, with a large argument, from four clients."""

import callee

from . import Row

MIB = 1024 * 1024


def sync(bench):
    rt, small = bench.rt, bench.rt.remote(callee.small)
    bench.elsewhere([rt.get(rt.remote(callee.pid).remote())])
    return bench.sync(lambda: rt.get(small.remote()))


def many(bench):
    rt, small = bench.rt, bench.rt.remote(callee.small)
    bench.elsewhere([rt.get(rt.remote(callee.pid).remote())])
    number = 1000
    return bench.rates(lambda: rt.get([small.remote() for _ in range(number)]), number)


def large_argument(bench):
    rt, first = bench.rt, bench.rt.remote(callee.first_byte)
    bench.elsewhere([rt.get(rt.remote(callee.pid).remote())])
    import numpy

    ref, number = rt.put(numpy.zeros(MIB, dtype=numpy.uint8)), bench.size(500, 100)
    return bench.rates(lambda: rt.get([first.remote(ref) for _ in range(number)]), number)


def clients(bench):
    rt = bench.rt
    callers = [rt.remote(callee.Client).remote(bench.target) for _ in range(4)]
    bench.elsewhere(rt.get([caller.pid.remote() for caller in callers]))
    number = bench.size(500, 100)
    return bench.rates(lambda: rt.get([caller.tasks.remote(number) for caller in callers]), 4 * number)


def pool_sync(bench):
    bench.elsewhere([bench.rt.submit(callee.pid).result()])
    return bench.sync(lambda: bench.rt.submit(callee.small).result())


def pool_many(bench):
    bench.elsewhere([bench.rt.submit(callee.pid).result()])

    def batch():
        for future in [bench.rt.submit(callee.small) for _ in range(1000)]:
            future.result()

    return bench.rates(batch, 1000)


def pool_large_argument(bench):
    bench.elsewhere([bench.rt.submit(callee.pid).result()])
    import numpy

    array, number = numpy.zeros(MIB, dtype=numpy.uint8), bench.size(500, 100)

    def batch():
        for future in [bench.rt.submit(callee.first_byte, array) for _ in range(number)]:
            future.result()

    return bench.rates(batch, number)


ROWS = [
    Row("tasks sync", "/s", sync, floor=120, pool=pool_sync),
    Row("tasks async, 1,000 then get", "/s", many, floor=120, pool=pool_many),
    Row("tasks with a 1 MiB array by reference", "/s", large_argument, floor=40, pool=pool_large_argument),
    Row("tasks from 4 clients", "/s", clients, floor=60),
]
