"""What a space knows about classes, edits and shifts: zero-shot and few-shot accuracy, embedding arithmetic, calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require, require_known, require_shape
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import counts, label_codes, real, whole


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
    (found,) = ranks.tally(ranks.cosines(x, classes), right, tie=ranks.tie_width(x.dtype), block_size=block_size)
    rank, failed = found.ranks(len(classes))
    result = {}
    size = np.bincount(right.columns, minlength=len(names))
    for k in ks:
        hit = (rank <= k) & ~failed
        per_class = np.bincount(right.columns, weights=hit, minlength=len(names))
        result[f"accuracy@{k}"] = float(np.mean(hit))
        result[f"class_accuracy@{k}"] = float(np.mean(per_class[size > 0] / size[size > 0]))
    return result


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


def delta_retrieval(
    gallery: Any,
    queries: Any,
    word_value: Any,
    word_target: Any,
    relevance: Any,
    *,
    lams: Sequence[float] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
    threshold: float = 0.5,
    weights: Any = None,
) -> dict[float, float]:
    """Share of edits whose nearest row is right: unit(gallery_query) + lam (word_target - word_value), the query left out.

    >>> import numpy as np
    >>> cat, dog, sits, runs = np.eye(4)
    >>> gallery = np.stack([cat + sits, dog + sits, cat + runs, dog + runs])
    >>> delta_retrieval(gallery, [0], [cat], [dog], [[False, True, False, False]], lams=(0.0, 1.0))
    {0.0: 0.5, 1.0: 1.0}

    Choose lam on a development split and look at the test split with that one: the best of many on one split is too high.

    Args:
      gallery: [n, d] rows to search, such as pictures; rows are normalised inside.
      queries: [q] row numbers of the gallery that are edited.
      word_value: [q, d] the word of the query that goes, in the same space; normalised inside.
      word_target: [q, d] the word that comes.
      relevance: [q, n] bool, or how well each row fits the edit: right above `threshold`.
      lams: strengths of the edit.
      threshold: of `relevance`.
      weights: [q] >= 0, such as one over the root of how often an edit occurs.

    Returns:
      lam -> weighted share in [0, 1]; chance = share of relevant rows. k rows at the same score count 1/k each; NaN fails.

    Source: Couairon et al., "Embedding Arithmetic of Multimodal Queries" (SIMAT, 2021); as used by Oh et al. (NeurIPS 2023), who
    report the best lam of the development split.
    """
    gallery, word_value = ranks.unit_pair(gallery, word_value, ("gallery", "word_value"))
    _, word_target = ranks.unit_pair(gallery, word_target, ("gallery", "word_target"))
    queries, relevance = np.asarray(queries), np.asarray(relevance)
    n, q = len(gallery), len(word_value)
    got, wanted = f"shape {queries.shape}, {q} word_value, {len(word_target)} word_target", "one of each for every edit"
    require(queries.shape == (q,) and len(word_target) == q, "queries", got=got, wanted=wanted)
    require(queries.dtype.kind in "iu", "queries", got=f"dtype {queries.dtype}", wanted="row numbers of the gallery")
    got, wanted = f"numbers from {queries.min()} to {queries.max()}", f"row numbers of the gallery, 0 to {n - 1}"
    require(bool(np.all((queries >= 0) & (queries < n))), "queries", got=got, wanted=wanted)
    require(n >= 2, "gallery", got=f"{n} rows", wanted="at least 2, as the query itself is left out")
    require(relevance.shape == (q, n), "relevance", got=f"shape {relevance.shape}", wanted=f"shape {(q, n)}")
    require(len(lams) > 0, "lams", got="none", wanted="at least one strength")
    wanted, remedy = "numbers or bools", "Give a row that was not judged the value 0, or leave the edit out."
    require(not (relevance.dtype.kind == "f" and np.isnan(relevance).any()), "relevance", got="NaN", wanted=wanted, remedy=remedy)
    require(all(math.isfinite(gallery.dtype.type(lam)) for lam in lams), "lams", got=list(lams), wanted="finite strengths")
    weights = np.ones(q) if weights is None else real(weights, "weights").astype(float)
    fine = weights.shape == (q,) and bool(np.all(weights >= 0)) and 0 < weights.sum() < np.inf
    got, wanted = f"shape {weights.shape}, sum {weights.sum():g}", f"{q} numbers >= 0 that are not all 0"
    require(fine, "weights", got=got, wanted=wanted)
    right = relevance if relevance.dtype == bool else real(relevance, "relevance") > threshold
    own, change = gallery[queries] @ gallery.T, (word_target - word_value) @ gallery.T
    tie, rows, result = ranks.tie_width(gallery.dtype), np.arange(q), {}
    for lam in lams:
        scores = own + np.asarray(lam, own.dtype) * change  # the length of the edited row does not change its order
        scores[rows, queries] = np.nan
        failed = np.isnan(scores).all(axis=1)
        scores[np.isnan(scores)] = -np.inf
        best = scores >= scores.max(axis=1, keepdims=True) - tie * max(1.0, abs(lam))
        hit = np.where(failed, 0.0, (best & right).sum(axis=1) / best.sum(axis=1))
        result[float(lam)] = float(weights @ hit / weights.sum())
    return result


def expected_calibration_error(scores: Any, *, targets: Any = None, bins: int = 10) -> float:
    """Mean distance of accuracy and confidence, sum over bins of |B| / n |accuracy(B) - confidence(B)|.

    >>> import numpy as np
    >>> p = np.array([[0.55, 0.45, 1e-9], [0.55, 0.45, 1e-9], [0.05, 0.05, 0.9]])
    >>> round(expected_calibration_error(np.log(p)), 6)  # 2/3 |1/2 - .55| + 1/3 |1 - .9|
    0.066667

    The confidence of a row is the largest entry of its softmax; rows are sorted into equal bins (b / bins, (b + 1) / bins] of it.

    Args:
      scores: [n, m] logits: cosines times the logit scale that the model was trained with, class logits.
      targets: [n] integers, the right column of each row (bools: column 0 or 1 of two); None = column i for row i (retrieval of
        pairs).
      bins: number of bins.

    Returns:
      In [0, 1]; 0 = calibrated. Where k columns share the largest score the row counts as 1/k right if its own is among them. A
      row with NaN, or of -inf alone, is wrong with confidence 1.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.
    """
    scores = real(scores, "scores").astype(np.float64)
    require(scores.ndim == 2 and scores.size > 0, "scores", got=f"shape {scores.shape}", wanted="[rows, columns], not empty")
    n, m = scores.shape
    bins = whole(bins, "bins")
    if targets is None:
        wanted, remedy = "a column for each row (column i is right for row i)", "Give targets otherwise."
        require(n <= m, "scores", got=f"{n} rows and {m} columns", wanted=wanted, remedy=remedy)
        targets = np.arange(n)
    targets = np.asarray(targets)
    require(targets.shape == (n,), "targets", got=f"shape {targets.shape}", wanted=f"one column number for each of {n} rows")
    got, wanted = f"dtype {targets.dtype} for {m} columns", "column numbers as integers, or bools for two columns"
    remedy = "Convert them with .astype(int) if they are column numbers."
    require(targets.dtype.kind in "iu" or (targets.dtype == bool and m == 2), "targets", got=got, wanted=wanted, remedy=remedy)
    got, wanted = f"numbers from {targets.min()} to {targets.max()}", f"column numbers, 0 to {m - 1}"
    require(bool(np.all((targets >= 0) & (targets < m))), "targets", got=got, wanted=wanted)
    top = scores.max(axis=1, keepdims=True)
    failed = np.isnan(top[:, 0]) | (top[:, 0] == -np.inf)
    best = scores == top
    with np.errstate(invalid="ignore"):  # inf - inf, which is one of the best
        confidence = 1 / np.where(best, 1.0, np.exp(np.where(best, 0.0, scores - top))).sum(axis=1)
    right = best[np.arange(n), targets.astype(np.int64)] / np.maximum(best.sum(axis=1), 1)
    confidence, right = np.where(failed, 1.0, confidence), np.where(failed, 0.0, right)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=right - confidence, minlength=bins)  # |B| times the signed gap of each bin
    return float(np.abs(gap).sum() / n)


def shift_robustness(
    home: Mapping[str, float], away: Mapping[str, float], *, chance: Mapping[str, float] | None = None
) -> dict[str, float]:
    """What a shift costs, for each metric that both sides have: the drop, and the share above chance that is kept.

    >>> {k: round(v, 3) for k, v in shift_robustness({"R@1": 0.8}, {"R@1": 0.5}, chance={"R@1": 0.2, "away/R@1": 0.2}).items()}
    {'drop/R@1': 0.3, 'kept/R@1': 0.5}

    Args:
      home: metrics on rows like those of training (`retrieval_metrics`, `zero_shot_accuracy`, `few_shot_accuracy`, ...).
      away: the same metrics on another set, by the same model.
      chance: metric -> its value for a space that knows nothing (0 where it is not given). Retrieval in a larger gallery is
        harder: give the chance of each side as `name` (home) and `away/name`, or compare galleries of one size.

    Returns:
      "drop/<name>" = home - away, and "kept/<name>" = (away - chance away) / (home - chance home): 1 = nothing lost, 0 = chance;
      left out where home is at chance itself.
    """
    shared = [name for name in home if name in away]
    require(bool(shared), "away", got=f"{sorted(away)}", wanted=f"some of the metrics {sorted(home)}")
    chance = dict(chance or {})
    result = {}
    for name in shared:
        result[f"drop/{name}"] = float(home[name] - away[name])
        above = home[name] - chance.get(name, 0.0)
        if not above <= 0:  # NaN too: a metric that broke is no metric at chance
            result[f"kept/{name}"] = float((away[name] - chance.get(f"away/{name}", chance.get(name, 0.0))) / above)
    return result
