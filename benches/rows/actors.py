"""Actor rows: one caller and one callee, one and four, four and four; launching."""

import callee

from . import Row


def callees(bench, number):
    actors = [bench.rt.remote(callee.Callee).remote() for _ in range(number)]
    pids = bench.rt.get([actor.pid.remote() for actor in actors])
    bench.elsewhere(pids)
    assert len(set(pids)) == number
    return actors


def sync(bench):
    rt, (actor,) = bench.rt, callees(bench, 1)
    return bench.sync(lambda: rt.get(actor.small.remote()))


def many(bench):
    rt, (actor,) = bench.rt, callees(bench, 1)
    number = 1000
    return bench.rates(lambda: rt.get([actor.small.remote() for _ in range(number)]), number)


def one_to_four(bench):
    rt, actors = bench.rt, callees(bench, 4)
    number = 250
    return bench.rates(lambda: rt.get([actor.small.remote() for _ in range(number) for actor in actors]), 4 * number)


def four_to_four(bench):
    rt, actors = bench.rt, callees(bench, 4)
    callers = [rt.remote(callee.Client).remote(bench.target) for _ in range(4)]
    bench.elsewhere(rt.get([caller.pid.remote() for caller in callers]))
    number = bench.size(500, 100)
    return bench.rates(lambda: rt.get([caller.calls.remote(actors, number) for caller in callers]), 4 * number)


def launch(bench):
    """Eight actors are made, each answers one counted call, then all are dropped."""
    rt, cls = bench.rt, bench.rt.remote(callee.Callee)

    def batch():
        actors = [cls.remote() for _ in range(8)]
        rt.get([actor.small.remote() for actor in actors])

    return bench.rates(batch, 8)


ROWS = [
    Row("actor calls 1:1 sync", "/s", sync, floor=120),
    Row("actor calls 1:1 async", "/s", many, floor=60),
    Row("actor calls 1:4 async", "/s", one_to_four, floor=30),
    Row("actor calls 4:4 async", "/s", four_to_four, floor=30),
    Row("actors launched, 8 at a time", "/s", launch, floor=50),
]
