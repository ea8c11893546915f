"""Code typed cell by cell: redefinition takes effect, classes of the notebook travel, an error leaves the session."""


def notebook(driver, *cells):
    """Run cells one after another in one namespace, as a notebook does; returns what they printed."""
    names = "{'rt': rt, '__name__': '__main__'}"
    return driver(
        f"rt.init(**START)\nnames = {names}\nfor text in {list(cells)!r}:\n"
        "    try:\n        exec(compile(text, '<cell>', 'exec'), names)\n"
        "    except Exception as error:\n"
        "        print('ERROR', type(error).__name__, isinstance(error, ZeroDivisionError))\n"
    ).succeeds()


def test_a_redefined_function_is_the_new_one(driver):
    cell = """
@rt.remote
def answer():
    return {}
print("GOT", rt.get(answer.remote()))
"""
    assert "GOT 1\nGOT 2\nGOT 3" in notebook(driver, *[cell.format(i) for i in (1, 2, 3)])


def test_a_redefined_class_is_the_new_one(driver):
    cell = """
@rt.remote
class Actor:
    def answer(self):
        return {0}
actor{0} = Actor.remote()
print("GOT", rt.get(actor{0}.answer.remote()))
"""
    out = notebook(driver, cell.format(1), cell.format(2), 'print("OLD", rt.get(actor1.answer.remote()))')
    assert "GOT 1\nGOT 2\nOLD 1" in out


def test_functions_see_what_other_cells_defined(driver):
    use = "@rt.remote\ndef use(x):\n    return step(x)\nprint('GOT', rt.get(use.remote(1)))"
    out = notebook(driver, "base = 10\ndef step(x):\n    return x + base", use, "def step(x):\n    return -x", use)
    assert "GOT 11\nGOT -1" in out


def test_classes_of_the_notebook_are_the_same_on_return(driver):
    classes = """
import dataclasses
@dataclasses.dataclass
class Point:
    x: int
class Wrong(Exception):
    pass
"""
    use = """
@rt.remote
def move(point):
    return Point(point.x + 1)
@rt.remote
def fail():
    raise Wrong("in a cell")
moved = rt.get(move.remote(Point(1)))
print("SAME", isinstance(moved, Point) and moved == Point(2))
try:
    rt.get(fail.remote())
except Wrong as error:
    print("CAUGHT", "in a cell" in str(error))
"""
    assert "SAME True\nCAUGHT True" in notebook(driver, classes, use)


def test_an_error_in_a_cell_leaves_the_session(driver):
    out = notebook(
        driver, "rt.get(rt.remote(lambda: 1 / 0).remote())", "print('GOT', rt.get(rt.remote(lambda: 5).remote()))"
    )
    assert "ERROR RayTaskError(ZeroDivisionError) True\nGOT 5" in out
