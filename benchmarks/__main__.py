"""Both benchmarks, one after the other: `make bench`. Ends with 1 where a target is missed."""

import sys

from benchmarks import dataset, retrain
from benchmarks.measuring import print_table

if __name__ == "__main__":
    tables = {"Building a dataset": dataset.run(), "Retraining five specialists": retrain.run()}
    for title, figures in tables.items():
        print_table(title, figures)
    sys.exit(any(figure.reached is False for figures in tables.values() for figure in figures))
