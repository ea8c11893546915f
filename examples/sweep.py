"""A model sweep as tasks: scikit-learn's digits, forty configurations, the data put once, a live progress bar, a table.

    pip install 'iosdk[demo]'
    python examples/sweep.py

The program is `iosdk._demo`, which `iosdk demo` runs too; the part that is iosdk's is `sweep_in_tasks`:

    images, labels = (iosdk.put(array) for array in data)
    remote_evaluate = iosdk.remote(evaluate)
    pending = [remote_evaluate.remote(configuration, images, labels) for configuration in todo]
    while pending:
        done, pending = iosdk.wait(pending, num_returns=1)
        scores += iosdk.get(done)
"""

import sys


def main():
    try:
        from iosdk._demo import main as sweep
    except ModuleNotFoundError as missing:
        print(f"the example needs the package {missing.name!r}: pip install 'iosdk[demo]'", file=sys.stderr)
        return 1
    return sweep()


if __name__ == "__main__":
    sys.exit(main())
