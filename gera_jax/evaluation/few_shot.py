"""Few-shot classification: what a space knows about classes once it has seen k rows of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import whole
from gera_jax.evaluation.labels import label_codes


def few_shot_accuracy(
    x_train: Any,
    train_labels: Any,
    x_test: Any,
    test_labels: Any,
    *,
    shots: int,
    probe: str = "linear",
    ridge: float = 1.0,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, float]:
    """Accuracy of a probe that is fitted on `shots` rows of each class, over several draws of them.

    >>> import numpy as np
    >>> x = np.array([[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0]])
    >>> few_shot_accuracy(x, ["cat", "cat", "dog", "dog"], x, ["cat", "cat", "dog", "dog"], shots=1)["accuracy"]
    1.0

    Args:
      x_train: [n, d] rows to draw shots from; rows are normalised inside.
      train_labels: [n] any values; a class with fewer than `shots` rows gives all it has.
      x_test: [m, d]; other rows of the same space. For robustness under a shift: those of another data set. A row with NaN counts
        as wrong.
      test_labels: [m]; a class without a training row is an error.
      shots: rows of each class, >= 1.
      probe: "linear": one-hot targets by ridge regression with an intercept, the largest output wins; "centroid": the nearest
        mean by cosine.
      ridge: > 0, penalty of "linear" on unit rows.
      repeats: draws.
      seed: of the draws; the same rows are drawn for every space with the same labels.

    Returns:
      "accuracy": mean over the draws, "spread": their standard deviation, "class_accuracy": mean over the classes that occur.
      In [0, 1]; chance 1 / classes.

    Raises:
      InputError: sizes that do not fit, shots, repeats or ridge out of range, a test class that training does not have,
        a training row with NaN.
    """
    require_known(probe, ("linear", "centroid"), "probe")
    shots, repeats = whole(shots, "shots"), whole(repeats, "repeats")
    require(ridge > 0, "ridge", got=ridge, wanted="above 0")
    x_train, x_test = ranks.unit_pair(x_train, x_test, ("x_train", "x_test"))
    broken = np.flatnonzero(np.isnan(x_train).any(axis=1))
    got, wanted = f"{broken.size} rows with NaN or infinity (first: row {broken[:1]})", "finite rows"
    remedy = "Drop those rows: one of them spoils every probe that is fitted on it."
    require(broken.size == 0, "x_train", got=got, wanted=wanted, remedy=remedy)
    sides = label_codes(train_labels, test_labels, names=("train_labels", "test_labels"))
    for name, labels, rows in (("train_labels", sides[0], x_train), ("test_labels", sides[1], x_test)):
        require(labels.shape == (len(rows),), name, got=f"shape {labels.shape}", wanted=f"one class for each of {len(rows)} rows")
    classes, train = np.unique(sides[0], return_inverse=True)
    require(len(classes) >= 2, "train_labels", got=f"{len(classes)} class", wanted="at least 2")
    unknown = ~np.isin(sides[1], classes)
    got = f"{int(unknown.sum())} rows of a class that training lacks (first: {np.asarray(test_labels)[unknown][:1]})"
    wanted = f"only the {len(classes)} classes of train_labels"
    require(not unknown.any(), "test_labels", got=got, wanted=wanted)
    test = np.searchsorted(classes, sides[1])
    size = np.bincount(test, minlength=len(classes))
    rng = np.random.default_rng(seed)
    accuracy, per_class = [], []
    for _ in range(repeats):
        order = rng.permutation(len(train))
        order = order[np.argsort(train[order], kind="stable")]
        starts = np.searchsorted(train[order], np.arange(len(classes)))
        chosen = order[np.arange(len(order)) - starts[train[order]] < shots]
        scores = _fit(x_train[chosen], train[chosen], len(classes), probe, ridge)(x_test)
        hit = np.where(np.isnan(scores).any(axis=1), False, np.argmax(np.nan_to_num(scores), axis=1) == test)
        accuracy.append(hit.mean())
        per_class.append(np.mean(np.bincount(test, weights=hit, minlength=len(classes))[size > 0] / size[size > 0]))
    return {"accuracy": float(np.mean(accuracy)), "spread": float(np.std(accuracy)), "class_accuracy": float(np.mean(per_class))}


def _fit(x: np.ndarray, labels: np.ndarray, classes: int, probe: str, ridge: float) -> Any:
    """A function rows -> scores [rows, classes]."""
    one_hot = np.eye(classes)[labels]
    if probe == "centroid":
        centres = ranks.unit_rows(one_hot.T @ x)  # the sum points where the mean does
        return lambda rows: rows @ centres.T
    x = x.astype(np.float64)
    mean, share = x.mean(axis=0), one_hot.mean(axis=0)
    x, y = x - mean, one_hot - share
    if len(x) < x.shape[1]:  # few rows: the dual has the smaller system
        weights = x.T @ np.linalg.solve(x @ x.T + ridge * np.eye(len(x)), y)
    else:
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return lambda rows: (rows - mean) @ weights + share
