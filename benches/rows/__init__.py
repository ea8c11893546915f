"""The rows: what each is called, its unit, who has it and the least that is asked of it."""

import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; `floor` is how many times better than Ray, `limit` a bound in the row's own unit."""

    name: str
    unit: str
    run: typing.Callable
    floor: float | None = None
    limit: float | None = None
    higher: bool = True
    session: bool = True
    pool: typing.Callable | None = None


def all_rows():
    """Every row, in the order of the table."""
    from . import actors, footprint, jobs, objects, starts, tasks, waits

    return [*starts.ROWS, *tasks.ROWS, *actors.ROWS, *objects.ROWS, *waits.ROWS, *footprint.ROWS, *jobs.ROWS]
