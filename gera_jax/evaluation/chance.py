"""What a space that knows nothing scores: the expected metrics of a random order of the candidates, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import counts, whole


def chance_level(
    rows: int | None = None,
    *,
    x_groups: Any = None,
    y_groups: Any = None,
    ks: Sequence[int] = (1, 5, 10),
    names: tuple[str, str] = ("x", "y"),
) -> dict[str, float]:
    """Expected metrics of `retrieval_metrics` and `foscttm` where every order of the candidates is as likely as any other.

    >>> round(chance_level(200)["mean/R@10"], 6)
    0.05
    >>> captions = chance_level(x_groups=[0, 1, 2], y_groups=[0, 0, 1, 1, 2, 2], ks=(1, 2))
    >>> round(captions["x_to_y/R@2"], 4), round(captions["y_to_x/R@2"], 4)  # 1 - (4 * 3) / (6 * 5), and 2 / 3
    (0.6, 0.6667)

    A query with r right rows among m candidates has its best one at place k with probability C(m - k, r - 1) / C(m, r), and among
    the first k with probability 1 - C(m - r, k) / C(m, k). The mean of that place is (m + 1) / (r + 1).

    Args:
      rows: number of pairs, where row i matches row i; or give the groups.
      x_groups: [n] item numbers, as `retrieval_metrics` takes them: five captions of a picture are five right rows.
      y_groups: [m] item numbers.
      ks: the k of R@k.
      names: words for the keys.

    Returns:
      The keys of `retrieval_metrics`, "x_to_y/R@1" ..., "x_to_y/median_rank" (of all queries' places together),
      "x_to_y/mean_rank", and "x_to_y/MRR", the mean of 1 / place; the same for "y_to_x/" and "mean/"; and "foscttm", 1/2.
      O(m) for each number of right rows that occurs.
    """
    ks = counts(ks)
    if x_groups is None and y_groups is None:
        n = m = whole(rows, "rows")
    else:
        n, m = (0 if groups is None else len(groups) for groups in (x_groups, y_groups))
    forward, backward = ranks.positives_both_ways(n, m, x_groups, y_groups, names)
    return {**ranks.both_ways(names, _expected(forward, m, ks), _expected(backward, n, ks)), "foscttm": 0.5}


def _expected(right: ranks.Positives, m: int, ks: tuple[int, ...]) -> dict[str, float]:
    """Means over the queries; those with as many right rows share one computation."""
    place = np.arange(1, m + 1)
    found, mean_rank, reciprocal = np.zeros(m), 0.0, 0.0
    sizes, queries = np.unique(np.diff(right.start), return_counts=True)
    for r, share in zip(sizes, queries / queries.sum(), strict=True):
        missed = np.cumprod(np.maximum(m - r - place + 1, 0) / (m - place + 1))  # no right row among the first k
        first = r / (m - place + 1) * np.concatenate([[1.0], missed[:-1]])  # the first right row at place k
        found += share * (1 - missed)
        mean_rank += share * (m + 1) / (r + 1)
        reciprocal += share * float(np.sum(first / place))
    median = (np.searchsorted(found, 0.5 - 1e-12) + np.searchsorted(found, 0.5 + 1e-12)) / 2 + 1
    recalls = {f"R@{k}": float(found[min(k, m) - 1]) for k in ks}
    return recalls | {"median_rank": float(median), "mean_rank": float(mean_rank), "MRR": reciprocal}
