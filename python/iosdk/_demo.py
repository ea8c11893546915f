"""The program of `iosdk demo` and `examples/sweep.py`: cross-validates forty models of handwritten digits as tasks.

The data is put once and read in place by every task. Then the same work is done in this process alone, so that the
speed-up printed is measured, not claimed.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

import iosdk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDS = 5


class Configuration(NamedTuple):
    """A model to try."""

    family: str
    settings: dict[str, Any]

    def model(self) -> Any:
        match self.family:
            case "SVC":
                return make_pipeline(StandardScaler(), SVC(**self.settings))
            case "RandomForest":
                return RandomForestClassifier(random_state=0, **self.settings)
            case "ExtraTrees":
                return ExtraTreesClassifier(random_state=0, **self.settings)
            case "KNeighbors":
                return KNeighborsClassifier(**self.settings)
            case "LogisticRegression":
                return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, **self.settings))
        raise ValueError(f"no model family is called {self.family!r}")

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


class Score(NamedTuple):
    """How well a configuration did, over the folds."""

    configuration: Configuration
    mean: float
    deviation: float
    seconds: float


def configurations() -> Iterator[Configuration]:
    for c in (0.1, 0.5, 1.0, 5.0, 20.0):
        for gamma in ("scale", 0.005, 0.02):
            yield Configuration("SVC", {"C": c, "gamma": gamma})
    for trees in (50, 100, 200):
        for depth in (6, 10, None):
            yield Configuration("RandomForest", {"n_estimators": trees, "max_depth": depth})
    for neighbours in (1, 3, 5, 9):
        for weights in ("uniform", "distance"):
            yield Configuration("KNeighbors", {"n_neighbors": neighbours, "weights": weights})
    for trees in (100, 200):
        for depth in (10, None):
            yield Configuration("ExtraTrees", {"n_estimators": trees, "max_depth": depth})
    for c in (0.01, 0.1, 1.0, 10.0):
        yield Configuration("LogisticRegression", {"C": c})


def evaluate(configuration: Configuration, images: np.ndarray, labels: np.ndarray) -> Score:
    """Cross-validates one configuration, with one thread of linear algebra: the processes are the parallelism."""
    started = time.perf_counter()
    with threadpool_limits(1):
        scores = cross_val_score(configuration.model(), images, labels, cv=FOLDS)
    return Score(configuration, float(scores.mean()), float(scores.std()), time.perf_counter() - started)


def progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def sweep_in_tasks(todo: Sequence[Configuration], data: tuple[np.ndarray, np.ndarray], bar: Progress) -> list[Score]:
    """All configurations as tasks, shown as they finish."""
    images, labels = (iosdk.put(array) for array in data)
    remote_evaluate = iosdk.remote(evaluate)
    pending = [remote_evaluate.remote(configuration, images, labels) for configuration in todo]
    row = bar.add_task("tasks", total=len(pending))
    scores = []
    while pending:
        done, pending = iosdk.wait(pending, num_returns=1)
        scores += iosdk.get(done)
        bar.update(row, completed=len(scores))
        if not bar.console.is_terminal and len(scores) % 10 == 0:
            bar.console.print(f"{len(scores)} of {len(todo)} done")
    return scores


def sweep_alone(todo: Sequence[Configuration], data: tuple[np.ndarray, np.ndarray], bar: Progress) -> list[Score]:
    """The same work, one after the other, in this process."""
    return [evaluate(configuration, *data) for configuration in bar.track(todo, description="one process")]


def table_of(scores: Sequence[Score], shown: int) -> Table:
    table = Table(title=f"the best {shown} of {len(scores)} configurations ({FOLDS}-fold accuracy)")
    for heading in ("model", "settings"):
        table.add_column(heading)
    for heading in ("accuracy", "+-", "seconds"):
        table.add_column(heading, justify="right")
    for score in sorted(scores, key=lambda score: -score.mean)[:shown]:
        figures = (f"{score.mean:.4f}", f"{score.deviation:.4f}", f"{score.seconds:.2f}")
        table.add_row(score.configuration.family, str(score.configuration), *figures)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the sweep; returns the exit code."""
    parser = argparse.ArgumentParser(prog="iosdk demo", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-cpus", type=int, default=None, help="tasks at a time (default: the CPUs there are)")
    parser.add_argument("--top", type=int, default=10, help="rows of the table (default 10)")
    parser.add_argument("--first", type=int, default=None, help="configurations to try (default: all of them)")
    options = parser.parse_args(arguments)

    console = Console()
    digits = load_digits()
    data = (np.asarray(digits.data), np.asarray(digits.target))
    todo = list(configurations())[: options.first]
    iosdk.init(num_cpus=options.num_cpus)
    try:
        cpus = iosdk.cluster_resources()["CPU"]
        console.print(f"{len(todo)} configurations on {data[0].shape[0]} images, {cpus:g} CPUs")
        with progress_bar(console) as bar:
            started = time.perf_counter()
            scores = sweep_in_tasks(todo, data, bar)
            in_tasks = time.perf_counter() - started
    finally:
        iosdk.shutdown()
    with progress_bar(console) as bar:
        started = time.perf_counter()
        alone = sweep_alone(todo, data, bar)
        in_one_process = time.perf_counter() - started

    console.print(table_of(scores, options.top))
    if {repr(score.configuration): score.mean for score in alone} != {
        repr(score.configuration): score.mean for score in scores
    }:
        console.print("the tasks and the one process disagree about a score", style="bold red")
        return 1
    console.print(
        f"{in_tasks:.1f} s in tasks on {cpus:g} CPUs, {in_one_process:.1f} s in one process: "
        f"{in_one_process / in_tasks:.2f} x as fast"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
