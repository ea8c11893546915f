"""Tasks that submit tasks: blocked parents lend their CPU, few workers serve many parents, depth is limited by name."""

import os

import pytest
from probes import eventually, wait_for_file


def test_parents_that_wait_on_one_cpu(start):
    rt = start(num_cpus=1)

    @rt.remote
    def child(i):
        return i

    @rt.remote
    def parent(i):
        return sum(rt.get([child.remote(j) for j in range(i)]))

    assert rt.get([parent.remote(i) for i in range(6)], timeout=80) == [sum(range(i)) for i in range(6)]


@pytest.mark.iosdk
def test_many_parents_need_few_workers(start):
    rt = start(num_cpus=2)

    @rt.remote
    def child(i):
        return os.getpid()

    @rt.remote
    def parent():
        return {os.getpid(), *rt.get([child.remote(i) for i in range(10)])}

    pids = set().union(*rt.get([parent.remote() for _ in range(500)], timeout=80))
    assert len(pids) <= 8


def test_a_chain_of_nested_tasks(rt):
    deep = 50 if rt.__name__ == "iosdk" else 10

    @rt.remote
    def down(n):
        return 0 if n == 0 else 1 + rt.get(down.remote(n - 1))

    assert rt.get(down.remote(deep), timeout=80) == deep


@pytest.mark.iosdk
def test_a_chain_that_is_too_deep_names_the_limit(rt):
    @rt.remote(max_retries=0)
    def down(n):
        return n if n == 0 else rt.get(down.remote(n - 1))

    with pytest.raises(rt.exceptions.RayError) as caught:
        rt.get(down.remote(5000), timeout=80)
    text = str(caught.value).lower()
    assert any(word in text for word in ("deep", "depth", "nest")) and any(char.isdigit() for char in text)
    assert rt.get(down.remote(3), timeout=60) == 0


def test_a_task_that_waits_for_one_queued_behind_it(start):
    rt = start(num_cpus=1)

    @rt.remote
    def work():
        return "second"

    rt.get([work.remote() for _ in range(500)])

    @rt.remote(num_cpus=0)
    class Mailbox:
        def __init__(self):
            self.ref = None

        def put(self, box):
            self.ref = box[0]

        def take(self):
            return [self.ref] if self.ref is not None else None

    @rt.remote
    def waits(mailbox):
        while (box := rt.get(mailbox.take.remote())) is None:
            pass
        return rt.get(box[0])

    mailbox = Mailbox.remote()
    rt.get(mailbox.take.remote(), timeout=60)
    first = waits.remote(mailbox)
    second = work.remote()
    rt.get(mailbox.put.remote([second]))
    assert rt.get([first, second], timeout=80) == ["second", "second"]


def test_a_task_that_waits_for_one_of_the_same_function_behind_it(start):
    rt = start(num_cpus=1)

    @rt.remote(num_cpus=0)
    class Mailbox:
        ref = None

        def put(self, box):
            self.ref = box[0]

        def take(self):
            return [self.ref] if self.ref is not None else None

    @rt.remote
    def work(mailbox=None):
        if mailbox is None:
            return "second"
        while (box := rt.get(mailbox.take.remote())) is None:
            pass
        return rt.get(box[0])

    mailbox = Mailbox.remote()
    rt.get(mailbox.take.remote(), timeout=60)
    rt.get([work.remote() for _ in range(500)])
    first = work.remote(mailbox)
    behind = [work.remote() for _ in range(20)]
    rt.get(mailbox.put.remote([behind[-1]]))
    assert rt.get([first, *behind], timeout=80) == ["second"] * 21


def test_a_blocked_parent_keeps_its_custom_resources(start):
    rt = start(num_cpus=2, resources={"slot": 1})

    @rt.remote(resources={"slot": 1}, num_cpus=1)
    def holder(go):
        return rt.get(waiter.remote(go))

    @rt.remote(num_cpus=0)
    def waiter(go):
        wait_for_file(go)
        return "waited"

    @rt.remote(resources={"slot": 1}, num_cpus=0)
    def other():
        return "other"

    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        go = pathlib.Path(folder) / "go"
        first = holder.remote(go)
        eventually(lambda: rt.available_resources().get("slot", 0) == 0, 30, "a held slot")
        second = other.remote()
        assert rt.wait([second], timeout=0.5)[0] == []
        go.touch()
        assert rt.get([first, second], timeout=60) == ["waited", "other"]


def test_actors_and_tasks_nest(rt):
    @rt.remote
    class Adder:
        def add(self, a, b):
            return a + b

    @rt.remote
    def parent(i):
        adder = Adder.remote()
        return rt.get(adder.add.remote(i, i))

    assert rt.get([parent.remote(i) for i in range(4)], timeout=80) == [0, 2, 4, 6]


def test_a_method_submits_tasks(rt):
    @rt.remote
    def square(x):
        return x * x

    @rt.remote
    class Squares:
        def total(self, n):
            return sum(rt.get([square.remote(i) for i in range(n)]))

    assert rt.get(Squares.remote().total.remote(50), timeout=60) == sum(i * i for i in range(50))
