"""Functions become tasks: other processes, order of results, dependencies, forms of the decorator."""

import os
import threading

import pytest
from probes import wait_for_file


def test_a_task_runs_in_another_process(rt):
    @rt.remote
    def where():
        return os.getpid()

    assert rt.get(where.remote()) != os.getpid()


def test_results_come_in_the_order_of_the_list(rt):
    @rt.remote
    def double(x):
        return 2 * x

    refs = [double.remote(i) for i in range(1000)]
    assert rt.get(refs) == [2 * i for i in range(1000)]
    assert rt.get(refs[::-1]) == [2 * i for i in range(1000)][::-1]


def test_each_call_runs_exactly_once(rt, tmp_path):
    @rt.remote
    def note(i):
        with open(tmp_path / str(os.getpid()), "a") as file:
            file.write(f"{i}\n")

    rt.get([note.remote(i) for i in range(2000)])
    lines = [int(line) for path in tmp_path.iterdir() for line in path.read_text().split()]
    assert sorted(lines) == list(range(2000))


def test_a_chain_of_references(rt):
    @rt.remote
    def plus_one(x):
        return x + 1

    ref = plus_one.remote(0)
    for _ in range(99):
        ref = plus_one.remote(ref)
    assert rt.get(ref) == 100


def test_a_task_starts_when_its_arguments_exist(rt, flag):
    @rt.remote
    def slow():
        wait_for_file(flag)
        return "slow"

    @rt.remote
    def after(x):
        return x + " after"

    later = after.remote(slow.remote())
    ready, pending = rt.wait([later], timeout=0.05)
    assert ready == [] and pending == [later]
    flag.touch()
    assert rt.get(later, timeout=30) == "slow after"


def test_forms_of_remote(rt):
    def add(a, b=1):
        return a + b

    assert rt.get(rt.remote(add).remote(1)) == 2
    assert rt.get(rt.remote(num_cpus=1)(add).remote(1, 2)) == 3
    assert rt.get(rt.remote(lambda x: -x).remote(3)) == -3


def test_options_make_a_new_wrapper_and_leave_the_old_one(rt):
    @rt.remote
    def pair():
        return 1, 2

    two = pair.options(num_returns=2)
    assert rt.get(two.remote()) == [1, 2]
    assert rt.get(pair.remote()) == (1, 2)


def test_num_cpus_zero_runs(rt):
    @rt.remote(num_cpus=0)
    def nothing():
        return "ran"

    assert rt.get(nothing.remote()) == "ran"


def test_a_remote_function_travels_inside_another(rt):
    @rt.remote
    def inner(x):
        return x * x

    @rt.remote
    def outer(x):
        return rt.get(inner.remote(x)) + 1

    assert rt.get(outer.remote(5)) == 26


def test_a_remote_function_travels_as_an_argument(rt):
    @rt.remote
    def inner(x):
        return x * x

    @rt.remote
    def apply(function, x):
        return rt.get(function.remote(x))

    assert rt.get(apply.remote(inner, 6)) == 36


def test_recursion(rt):
    @rt.remote
    def factorial(n):
        return 1 if n == 0 else n * rt.get(factorial.remote(n - 1))

    assert rt.get(factorial.remote(6)) == 720


def test_tasks_from_threads_of_the_driver(rt):
    @rt.remote
    def echo(x):
        return x

    answers = {}

    def work(number):
        answers[number] = rt.get([echo.remote((number, i)) for i in range(100)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {number: [(number, i) for i in range(100)] for number in range(4)}


def test_two_tasks_run_at_the_same_time(rt, tmp_path):
    @rt.remote
    def meet(mine, other):
        (tmp_path / mine).touch()
        wait_for_file(tmp_path / other, 30)
        return True

    assert rt.get([meet.remote("a", "b"), meet.remote("b", "a")], timeout=60) == [True, True]


def test_short_tasks_are_not_delayed_by_a_long_one(rt, flag):
    @rt.remote
    def work(long):
        if long:
            wait_for_file(flag)
        return os.getpid()

    rt.get([work.remote(False) for _ in range(200)])
    refs = [work.remote(False) for _ in range(2500)]
    long = work.remote(True)
    refs += [work.remote(False) for _ in range(7500)]
    assert len(rt.get(refs, timeout=50)) == 10000
    assert rt.wait([long], timeout=0)[0] == []
    flag.touch()
    assert rt.get(long, timeout=30) > 0


def test_generator_with_fixed_returns(rt):
    @rt.remote(num_returns=3)
    def count():
        yield from range(3)

    first, second, third = count.remote()
    assert rt.get([third, first, second]) == [2, 0, 1]


def test_omp_threads_follow_the_cpus(rt):
    @rt.remote
    def threads():
        return os.environ.get("OMP_NUM_THREADS")

    assert rt.get(threads.remote()) == "1"
    assert rt.get(threads.options(num_cpus=2).remote()) == "2"
    assert rt.get(threads.remote()) == "1"


def test_calling_a_remote_function_directly_says_what_to_do(rt):
    @rt.remote
    def function():
        return 1

    with pytest.raises(TypeError, match="remote"):
        function()


def test_async_functions_are_refused(rt):
    with pytest.raises(ValueError, match="async"):

        @rt.remote
        async def function():
            return 1


def test_a_call_made_after_shutdown_works_in_a_new_session(api, start):
    @api.remote
    def answer():
        return 42

    start(num_cpus=1)
    assert api.get(answer.remote()) == 42
    api.shutdown()
    start(num_cpus=1)
    assert api.get(answer.remote()) == 42
