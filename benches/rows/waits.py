"""Wait rows: one wait for a thousand ready references, and the loop that shrinks its list."""

import callee

from . import Row


def ready(bench):
    rt = bench.rt
    refs = [rt.put(i) for i in range(1000)]

    def call():
        done, pending = rt.wait(refs, num_returns=1000)
        assert len(done) == 1000 and not pending

    return bench.sync(call, counted=False)


def shrinking(bench):
    rt, small, number = bench.rt, bench.rt.remote(callee.small), bench.size(1000, 200)

    def batch():
        pending = [small.remote() for _ in range(number)]
        while pending:
            _, pending = rt.wait(pending)

    return [rate / number for rate in bench.rates(batch, number)]


ROWS = [
    Row("wait for 1,000 ready refs", "/s", ready, floor=25),
    Row("shrinking wait loop over 1,000 refs", "/s", shrinking, floor=50),
]
