"""CPU time of one thread of retrieval and FOSCTTM in a gallery: ours, PyTorch by sorting, and the one product alone, in one run.

    python -m benchmarks.metric_time                       # needs torch; 4,096 and 16,384 rows of 512 numbers
    python -m benchmarks.metric_time --rows 65536 --forms product retrieval

PyTorch sorts each query's scores and looks for the place of its own, both ways, as training scripts of CLIP models do. The
product is that of all rows of x with all of y, in blocks of 1,024, the least that any exact form must do; `of product` of 1.0 is
the physical limit. `scorer` is what every command calls: retrieval and FOSCTTM together, in float64.
"""

from __future__ import annotations

from benchmarks import _one_thread  # noqa: F401

# isort: split
import argparse
import statistics
import time

import numpy as np
import torch

from gera_jax import evaluation
from gera_jax.evaluation import split

torch.set_num_threads(1)
BLOCK = 1024


def product(x, y):
    return sum(float((x[first : first + BLOCK] @ y.T)[0, 0]) for first in range(0, len(x), BLOCK))


def by_sorting(x, y):
    """Mean rank over both directions."""
    x, y, total = torch.from_numpy(x), torch.from_numpy(y), 0.0
    for queries, gallery in ((x, y), (y, x)):
        for first in range(0, len(queries), BLOCK):
            order = torch.argsort(queries[first : first + BLOCK] @ gallery.T, dim=1, descending=True)
            own = torch.arange(first, first + len(order))[:, None]
            total += float((torch.nonzero(order == own)[:, 1] + 1).sum())
    return total / (2 * len(x))


FORMS = {
    "product": product,
    "torch by sorting": by_sorting,
    "retrieval": lambda x, y: evaluation.retrieval_metrics(x, y)["mean/mean_rank"],
    "foscttm": lambda x, y: 1 + (len(x) - 1) * evaluation.foscttm(x, y),
    "scorer": lambda x, y: split.split_metrics(split.Cosines(x, y))["mean/mean_rank"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    print(f"{'rows':>7}  {'form':<18}{'CPU s':>8}{'of product':>12}{'of torch':>10}{'mean rank':>12}")
    for rows in args.rows:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(rows, args.width)).astype("f4")
        y = x + 6 * rng.normal(size=x.shape).astype("f4")
        x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
        times, said = {}, {}
        for _ in range(args.repeats):  # in turns, so that whatever else the machine does falls on all
            for name in args.forms:
                began = time.process_time()
                said[name] = FORMS[name](x, y)
                times.setdefault(name, []).append(time.process_time() - began)
        medians = {name: statistics.median(taken) for name, taken in times.items()}
        for name, taken in medians.items():
            shares = (f"{taken / medians[other]:.2f}" if other in medians else "-" for other in ("product", "torch by sorting"))
            rank = "-" if name == "product" else f"{said[name]:.4f}"
            print(f"{rows:>7}  {name:<18}{taken:>8.2f}{next(shares):>12}{next(shares):>10}{rank:>12}", flush=True)


if __name__ == "__main__":
    main()
