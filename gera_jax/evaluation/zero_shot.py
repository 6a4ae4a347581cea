"""Zero-shot classification: the class whose embedding is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require, require_shape
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import counts
from gera_jax.evaluation.labels import label_codes


def zero_shot_accuracy(
    x: Any, class_embeddings: Any, labels: Any, *, ks: Sequence[int] = (1, 5), class_labels: Any = None, block_size: int = 1024
) -> dict[str, float]:
    """Share of rows whose own class is among the k classes with the highest cosine.

    >>> import numpy as np
    >>> prompts = np.array([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0]])
    >>> zero_shot_accuracy(np.eye(2), prompts, ["cat", "dog"], ks=(1,), class_labels=["cat", "cat", "dog"])
    {'accuracy@1': 1.0, 'class_accuracy@1': 1.0}

    Args:
      x: [n, d] rows in the shared space; any float type.
      class_embeddings: [c, d] one row a class, or [m, d] several prompts a class with `class_labels`.
      labels: [n] the class of each row: a row number of `class_embeddings`, or a value of `class_labels`.
      ks: the k of accuracy@k.
      class_labels: [m] the class of each prompt row. Prompts of a class are normalised, averaged, normalised.
      block_size: rows of scores at once.

    Returns:
      "accuracy@1", "accuracy@5" ... over rows, and "class_accuracy@1" ... the mean over the classes that occur,
      each in [0, 1] (chance k / c). Tied classes cost half a rank each; NaN is never a success.

    Raises:
      InputError: a label that no class row has, sizes that do not fit.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021).
    """
    ks = counts(ks)
    x, prompts = ranks.unit_pair(x, class_embeddings, ("x", "class_embeddings"))
    given = np.arange(len(prompts)) if class_labels is None else class_labels
    codes, prompt_class = label_codes(labels, given, names=("labels", "class_labels"))
    require(
        codes.shape == (len(x),), "labels", got=f"shape {codes.shape}", wanted=f"one class for each of the {len(x)} rows of x"
    )
    wanted = f"one class for each of the {len(prompts)} rows of class_embeddings"
    require_shape(prompt_class, (len(prompts),), "class_labels", wanted=wanted)
    names, inverse = np.unique(prompt_class, return_inverse=True)
    unknown = ~np.isin(codes, names)
    got = f"{int(unknown.sum())} rows of a class without an embedding (first: {np.asarray(labels)[unknown][:1]})"
    wanted = f"only the {len(names)} classes of class_embeddings"
    remedy = "Labels are row numbers of class_embeddings, from 0, unless class_labels is given."
    require(not unknown.any(), "labels", got=got, wanted=wanted, remedy=remedy)
    classes = np.zeros((len(names), x.shape[1]), x.dtype)
    np.add.at(classes, inverse, prompts)
    classes = ranks.unit_rows(classes)  # the sum points where the mean does
    right = ranks.Positives(np.arange(len(x) + 1), np.searchsorted(names, codes))
    rank, failed = np.zeros(len(x)), np.zeros(len(x), bool)
    for first, last in ranks.blocks(len(x), len(classes), block_size):
        with np.errstate(invalid="ignore"):
            scores = x[first:last] @ classes.T
        rank[first:last], failed[first:last] = ranks.best_rank(scores, right, first, last, ranks.tie_width(x.dtype))
    result = {}
    size = np.bincount(right.columns, minlength=len(names))
    for k in ks:
        hit = (rank <= k) & ~failed
        per_class = np.bincount(right.columns, weights=hit, minlength=len(names))
        result[f"accuracy@{k}"] = float(np.mean(hit))
        result[f"class_accuracy@{k}"] = float(np.mean(per_class[size > 0] / size[size > 0]))
    return result
