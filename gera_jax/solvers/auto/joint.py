"""The mixed score in few columns: for each view and side one map to a space that all views share, in place of all its heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.solvers.linear import even, leading_svd, narrowing

Array = np.ndarray
LENGTH = (64, 128)  # directions of a view's heads from which the length of a row is estimated: leading ones, and random ones


SAMPLE = 500  # rows that tell the leading ones


class Group(NamedTuple):
    """Heads of one view whose rows have nearly the same lengths up to a factor, such as those before and after co-training."""

    view: int
    terms: list[tuple[float, Any]]  # weight in the score, and heads


class Linear(NamedTuple):
    """A group of linear heads on one side: features @ weights - offset, over an estimate of the length that the heads give.

    The first columns of the weights lead into the joint space. The squares of the last ones add up to the squared length.
    """

    weights: Array  # [f, k + q]
    offset: Array  # [k + q]
    k: int

    def __call__(self, features: Array) -> Array:
        """[n, k] of features [n, f]."""
        found = features @ self.weights
        found -= self.offset
        length = np.sqrt(np.einsum("ij,ij->i", found[:, self.k :], found[:, self.k :]))
        return found[:, : self.k] / np.where(length == 0, 1, length)[:, None]

    def folded(self, linear: Array | None, mean: Array) -> Linear:
        """The same of what the features are made from: they are raw @ linear - mean."""
        weights = self.weights if linear is None else linear.astype(np.float64) @ self.weights
        return self._replace(weights=weights.astype(np.float32), offset=(mean @ self.weights + self.offset).astype(np.float32))


class Applied(NamedTuple):
    """Heads that are not linear, on one side, and the map of their outputs."""

    heads: Any
    side: int
    weights: Array  # [r, k]
    mean: Array  # [f], taken off first

    def __call__(self, features: Array) -> Array:
        """[n, k] of features [n, f]."""
        return self.heads.apply(features - self.mean, self.side) @ self.weights

    def folded(self, linear: Array | None, mean: Array) -> Applied:
        """The same of what the features are made from, where that is the features and their mean."""
        assert linear is None
        return self._replace(mean=self.mean + mean)


def joint_maps(groups: Sequence[Group], samples: Sequence[tuple[Array, Array]], width: int) -> list[tuple[Any, Any]]:
    """Of each group the maps of x and of y. The product of two sides' sums over the groups is the score, nearly.

    The score is the sum over all heads of weight times scale^2 times cosine. Where the heads have more columns than `width`, the
    joint space is that of the leading singular directions of the samples' scores (`narrowing`).

    Args:
      groups: linear heads of one view, or any heads alone.
      samples: of each view, rows of features of x and of y.
      width: columns at most.
    """
    terms = [(group.view, weight, heads) for group in groups for weight, heads in group.terms]
    x, y = (
        np.concatenate([np.float32(np.sqrt(w)) * heads.apply(samples[view][side], side) for view, w, heads in terms], axis=1)
        for side in (0, 1)
    )
    ends = np.cumsum([heads.width for _, _, heads in terms])
    bases = narrowing(x, y, width) if ends[-1] > width else (np.eye(ends[-1], dtype=np.float32),) * 2
    parts = [iter(np.split(basis, ends[:-1])) for basis in bases]
    return [
        tuple(_map(group, side, samples[group.view][side], [next(parts[side]) for _ in group.terms]) for side in (0, 1))
        for group in groups
    ]


def _map(group: Group, side: int, sample: Array, bases: list[Array]) -> Linear | Applied:
    """`bases` are the parts of the joint basis that belong to the group's heads, one each."""
    weights, heads = [np.float32(np.sqrt(weight)) for weight, _ in group.terms], [heads for _, heads in group.terms]
    if not hasattr(heads[0], "weights"):
        total = sum(weight * basis for weight, basis in zip(weights, bases, strict=True))
        return Applied(heads[0], side, total, np.zeros(sample.shape[1], np.float32))
    outputs = [sample @ own.weights[side] for own in heads]
    lengths = [np.sqrt(max(float(np.mean(np.sum(rows * rows, axis=1))), 1e-30)) for rows in outputs]
    main = sum(
        own.weights[side] @ (np.float32(weight * own.scale / length) * basis)
        for weight, own, length, basis in zip(weights, heads, lengths, bases, strict=True)
    )
    factors = [np.float32(1 / (length * len(heads) ** 0.5)) for length in lengths]
    stacked = np.concatenate([factor * rows for factor, rows in zip(factors, outputs, strict=True)], axis=1)
    told = np.concatenate([factor * own.weights[side] for factor, own in zip(factors, heads, strict=True)], axis=1)
    both = np.concatenate([main, told @ _telling(stacked)], axis=1).astype(np.float32)
    return Linear(both, np.zeros(both.shape[1], np.float32), main.shape[1])


def _telling(rows: Array) -> Array:
    """[r, q] columns in which rows like these [n, r] have nearly the length that they have in all r.

    They are the leading directions of the rows and random ones beside them. What the random ones give is right in the mean for
    every row (Johnson and Lindenstrauss): new rows may differ from these.
    """
    r, (leading, others) = rows.shape[1], LENGTH
    if r <= leading + others:
        return np.eye(r, dtype=np.float32)
    first = leading_svd(rows[even(len(rows), SAMPLE)], leading)[2]
    drawn = np.random.default_rng(0).normal(size=(r, others)).astype(np.float32) / np.float32(np.sqrt(others))
    return np.concatenate([first, drawn - first @ (first.T @ drawn)], axis=1)
