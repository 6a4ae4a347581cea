"""Chance, and the curve of quality against the number of pairs with intervals for numbers that were not measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require

LUCK = 3.0  # standard deviations


class Chance(NamedTuple):
    """A metric under guessing: the mean, and the best value that luck may reach."""

    key: str
    mean: float
    luck: float

    @classmethod
    def of(cls, key: str, mean: float, items: float) -> Chance:
        """Chance of "mean/R@k" or "foscttm" on so many independent items.

        If partners are drawn at random, a recall p of n items has at most the variance p (1 - p) / (n - 1), and FOSCTTM
        1 / 12 (n - 1), whatever the scores are: Hoeffding's variance of a sum over a random permutation, for a matrix of hits
        (of shares that are closer) whose rows have the mean p (1/2). `luck` is `LUCK` such deviations from the mean.

        Source: Hoeffding, "A combinatorial central limit theorem" (Ann. Math. Statist. 1951).

        >>> Chance.of("mean/R@10", 0.02, 401)
        Chance(key='mean/R@10', mean=0.02, luck=0.041)
        """
        deviation = math.sqrt((1 / 12 if key == "foscttm" else mean * (1 - mean)) / max(items - 1, 1e-9))
        luck = max(0.0, mean - LUCK * deviation) if key == "foscttm" else min(1.0, mean + LUCK * deviation)
        return cls(key, mean, round(luck, 12))

    def beaten_by(self, value: float) -> bool:
        """Whether a value lies beyond luck.

        >>> Chance.of("foscttm", 0.5, 401).beaten_by(0.45), Chance.of("foscttm", 0.5, 401).beaten_by(0.46)
        (True, False)
        """
        return value < self.luck if self.key == "foscttm" else value > self.luck

    def beside(self, value: float) -> str:
        """A value and its chance, in words.

        >>> Chance.of("mean/R@10", 0.02, 401).beside(0.03)
        'R@10 3.0% (guessing 2.0%, by luck up to 4.1%)'
        """
        if self.key == "foscttm":
            return f"FOSCTTM {value:.2f} (guessing {self.mean:.2f}, by luck down to {self.luck:.2f})"
        name = self.key.removeprefix("mean/")
        return f"{name} {100 * value:.1f}% (guessing {100 * self.mean:.1f}%, by luck up to {100 * self.luck:.1f}%)"


def independent_items(items: float, seeds: int, of: float) -> float:
    """How many independent items `seeds` test sets of `items` each hold, if every seed draws them from the same `of` items.

    >>> independent_items(25, 1, 100), round(independent_items(25, 5, 100), 1), independent_items(25, 5, 25)
    (25.0, 62.5, 25.0)
    """
    return items / (1 / seeds + (1 - 1 / seeds) * items / max(items, of))


ROUGHNESS = 0.125  # smallest of 0.05, 0.075, 0.1, ... that covered 95 % of hidden means on clipart, emoji and molecule
CURVATURE = 0.03  # of 0, .01, ..., .06 the one with the least bias of R@1 and R@10 two and four times beyond, on the same sets
CONFIDENCE = 0.95
FURTHEST = 4  # times the largest count: as far as a curve is followed to find the pairs that a score takes


class Prediction(NamedTuple):
    """The value at a number of pairs: the mean over all possible seeds with its interval, and the range of a single run."""

    pairs: int
    mean: float
    low: float
    high: float
    run_low: float
    run_high: float


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """A smooth curve through the scores of several numbers of pairs, which predicts the score at other numbers.

    >>> rng = np.random.default_rng(0); pairs = np.array([20, 50, 100, 200, 500])
    >>> values = np.exp(-12 * pairs**-0.4 * np.exp(0.02 * rng.normal(size=(5, 5))))  # [seeds, counts]
    >>> at = LearningCurve.fit(pairs, values, gallery=500).predict(1000)
    >>> bool(at.low < np.exp(-12 * 1000**-0.4) < at.high)
    True

    The model is -log(-log(value)) = a + b u + curvature u^2 / 2 + g(u) with u = log(pairs). a and b are free, and g is a Brownian
    motion integrated once. Without g and curvature this is the power law of learning curves, -log(value) = c pairs^-b. Measured
    curves grow a little faster than that with every pair, and the curvature is what they have in common. The deviation of the
    slope's change over a step du is roughness * sqrt(du), so the curve is the cubic smoothing spline. It is estimated from the
    means over seeds by universal kriging with the generalized covariance roughness^2 |u - v|^3 / 12 of g. More seeds narrow the
    intervals only up to a limit, because a later change of slope stays unknown.

    The variance of the left side for one draw of pairs at value q is f (1 - q) / (gallery q log(q)^2): the binomial variance of
    the gallery's hits times an overdispersion f. A shift that all counts of a seed share comes on top, because each seed has its
    own split. The intervals are Student's, with the degrees of freedom of the two estimated variances (Satterthwaite). One
    seed gives no estimate of either variance; f is then 1 and the shift 0.

    Source: Hestness et al., "Deep learning scaling is predictable, empirically" (2017; the power law, there of a loss); Wahba,
    "Improper priors, spline smoothing and the problem of guarding against model errors in regression" (JRSS B 1978); Matheron,
    "The intrinsic random functions and their applications" (1973); why this and not the logit, and how often the intervals
    hold: docs/results/label_efficiency.md.
    """

    log_pairs: np.ndarray  # [c]
    center: np.ndarray  # [c] mean of -log(-log(value)) over seeds
    between: float  # variance of a seed's common shift
    overdispersion: float  # variance of a draw of pairs, in units of its gallery's binomial noise
    gallery: int
    seeds: int
    roughness: float
    curvature: float = CURVATURE

    @classmethod
    def fit(
        cls,
        pairs: Sequence[int] | np.ndarray,
        values: Any,
        *,
        gallery: int,
        roughness: float = ROUGHNESS,
        curvature: float = CURVATURE,
    ) -> LearningCurve:
        """Fit the curve.

        Args:
          pairs: [c] counts, at least 2 different ones.
          values: [s, c] in [0, 1] of each seed, higher is better, such as R@10 or 1 - FOSCTTM.
          gallery: test items; values are kept half an item away from 0 and 1.
          roughness: >= 0, deviation of the change of slope over one unit of log(pairs); 0 = a parabola.
          curvature: change of slope over one unit of log(pairs) that all curves share; 0 = a power law where the roughness is 0.

        Raises:
          InputError: fewer than 2 counts, values that are not finite, or a negative roughness.
        """
        pairs, values = np.asarray(pairs, np.float64), np.atleast_2d(np.asarray(values, np.float64))
        got, wanted = pairs.astype(int).tolist(), "at least 2 different counts"
        require(len(pairs) >= 2 and len(set(pairs.tolist())) == len(pairs), "pairs", got=got, wanted=wanted)
        require(values.shape[1] == len(pairs), "values", got=f"shape {values.shape}", wanted=f"[seeds, {len(pairs)}]")
        require(np.isfinite(roughness) and roughness >= 0, "roughness", got=roughness, wanted="a number >= 0")
        require(bool(np.isfinite(values).all()), "values", got="numbers that are not finite", wanted="finite numbers")
        floor = 0.5 / gallery
        y = _link(np.clip(values, floor, 1 - floor))
        seeds, count = y.shape
        center = y.mean(axis=0)
        weights = 1 / _binomial(center, gallery)
        overdispersion, between = 1.0, 0.0
        if seeds > 1:
            shift = (y - center) @ weights / weights.sum()
            residual = y - center - shift[:, None]
            overdispersion = max(1e-6, float(np.sum(residual**2 @ weights) / ((seeds - 1) * (count - 1))))
            between = max(0.0, float(np.sum(shift**2) / (seeds - 1) - overdispersion / weights.sum()))
        return cls(np.log(pairs), center, between, overdispersion, gallery, seeds, roughness, curvature)

    def predict(self, pairs: float, *, confidence: float = CONFIDENCE) -> Prediction:
        """The value at a number of pairs, inside or beyond the counts that were fitted.

        Args:
          pairs: at least 1.
          confidence: in (0, 1), of both intervals.

        Returns:
          Values in [0, 1]: the mean over all seeds there could be with its interval, and the range of one run.

        Raises:
          InputError: pairs below 1, or a confidence outside (0, 1).
        """
        require(0 < confidence < 1, "confidence", got=confidence, wanted="a number in (0, 1)")
        require(pairs >= 1, "pairs", got=pairs, wanted="at least 1")
        u, noise = self.log_pairs, self._noise()
        target = self._target(np.log(pairs))
        solution = np.linalg.solve(self._system(), target)
        weights = solution[: len(u)]
        common, known = self.curvature / 2 * (u - np.log(pairs)) ** 2, float(weights**2 @ noise)
        middle = float(weights @ (self.center - common))
        bend = max(0.0, float(-solution @ target) - known)
        draw = self.overdispersion * float(_binomial(np.array(middle), self.gallery))
        mean = self._half(confidence, bend, known, self.between / self.seeds)
        run = self._half(confidence, bend, known + draw, self.between)
        return Prediction(
            int(pairs), *(float(_value(v)) for v in (middle, middle - mean, middle + mean, middle - run, middle + run))
        )

    def pairs_for(self, value: float) -> float:
        """The number of pairs at which the curve reaches `value`, from 1 to FURTHEST times the largest count that was fitted.

        >>> curve = LearningCurve.fit([20, 50, 100], [[0.2, 0.3, 0.4]], gallery=10_000)
        >>> round(curve.pairs_for(0.3))
        50
        """
        origin = self.log_pairs[-1]
        straight = self.center - self.curvature / 2 * (self.log_pairs - origin) ** 2
        dual = np.linalg.solve(
            self._system(), np.r_[straight, 0.0, 0.0]
        )  # of `predict`, turned round: one solution for all counts
        wanted = float(_link(np.clip(value, 0.5 / self.gallery, 1 - 0.5 / self.gallery)))
        low, high = 0.0, float(self.log_pairs.max() + np.log(FURTHEST))
        for _ in range(40):
            middle = (low + high) / 2
            below = float(self._target(middle) @ dual) + self.curvature / 2 * (middle - origin) ** 2 < wanted
            low, high = (middle, high) if below else (low, middle)
        return math.exp(high)

    def _system(self) -> np.ndarray:
        """The matrix of universal kriging: covariances of the counts, and the line's two functions."""
        u, count = self.log_pairs, len(self.log_pairs)
        line = np.stack([np.ones(count), u])
        system = np.zeros((count + 2, count + 2))
        system[:count, :count] = self._covariance(u[:, None] - u) + np.diag(self._noise())
        system[:count, count:], system[count:, :count] = line.T, line
        return system

    def _target(self, log_pairs: float) -> np.ndarray:
        return np.r_[self._covariance(log_pairs - self.log_pairs), 1.0, log_pairs]

    def _noise(self) -> np.ndarray:
        return self.overdispersion * _binomial(self.center, self.gallery) / self.seeds

    def _covariance(self, distance: np.ndarray) -> np.ndarray:
        return self.roughness**2 * np.abs(distance) ** 3 / 12

    def _half(self, confidence: float, bend: float, within: float, between: float) -> float:
        """Half an interval from a known variance and two of (seeds - 1)(counts - 1) and seeds - 1 degrees of freedom."""
        free, variance = np.inf, bend + within + between
        if self.seeds > 1:
            counts = len(self.center)
            free = variance**2 / (within**2 / ((self.seeds - 1) * (counts - 1)) + between**2 / (self.seeds - 1))
        return _student(free, confidence) * float(np.sqrt(variance))


class Hidden(NamedTuple):
    """A count that was left out of the fit: the prediction for it, and the scores that the seeds have there."""

    prediction: Prediction
    mean: float
    runs: list[float]

    @property
    def mean_inside(self) -> bool:
        return self.prediction.low <= self.mean <= self.prediction.high

    @property
    def runs_inside(self) -> int:
        return sum(self.prediction.run_low <= value <= self.prediction.run_high for value in self.runs)


class Worth(NamedTuple):
    """How many times the pairs another method needs for the same score, with a 95 % interval; `beyond` where it may be more."""

    pairs: int
    factor: float
    low: float
    high: float
    beyond: bool


def label_efficiency(pairs: Sequence[int], values: Any, reference: Any, *, gallery: int) -> list[Worth]:
    """At each count, the pairs that the reference needs for a method's score, over the pairs that the method had.

    For each seed the reference's learning curve is fitted and followed to the method's score. The factor is the geometric mean
    over seeds, and its interval Student's of the logarithms: seeds share test rows and pairs, so it is a paired difference. A
    curve is not followed further than FURTHEST times the largest count; `beyond` says that some seed's score lies further.

    Args:
      pairs: [c] counts, at least 2 different ones.
      values, reference: [s, c] scores in [0, 1] of the same seeds, higher is better.
      gallery: test items.

    >>> reference = np.array([[0.2, 0.3, 0.4], [0.22, 0.32, 0.42]])
    >>> [round(worth.factor, 1) for worth in label_efficiency([20, 50, 100], reference, reference, gallery=10_000)]
    [1.0, 1.0, 1.0]

    Raises:
      InputError: as `LearningCurve.fit`, or seeds that differ.
    """
    values, reference = (np.atleast_2d(np.asarray(v, np.float64)) for v in (values, reference))
    wanted = f"{reference.shape}, that of the reference"
    require(values.shape == reference.shape, "values", got=f"shape {values.shape}", wanted=wanted)
    curves = [LearningCurve.fit(pairs, seed, gallery=gallery) for seed in reference]
    found = []
    for at, count in enumerate(pairs):
        needed = np.array([curve.pairs_for(value) for curve, value in zip(curves, values[:, at], strict=True)])
        logs = np.log(needed / count)
        half = _student(len(logs) - 1, CONFIDENCE) * logs.std(ddof=1) / len(logs) ** 0.5 if len(logs) > 1 else math.nan
        ends = (math.exp(logs.mean() + shift) for shift in (0.0, -half, half))
        found.append(Worth(int(count), *ends, bool((needed >= 0.999 * FURTHEST * max(pairs)).any())))
    return found


def _student(free: float, confidence: float) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, free))


def hide_last(pairs: Sequence[int], values: Any, *, gallery: int, roughness: float = ROUGHNESS) -> Hidden | None:
    """Fit without the largest count and predict it; None where fewer than 3 others are left.

    >>> hide_last([20, 50, 100], np.full((2, 3), 0.5), gallery=100) is None
    True
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    if len(pairs) < 4:
        return None
    curve = LearningCurve.fit(pairs[:-1], values[:, :-1], gallery=gallery, roughness=roughness)
    return Hidden(curve.predict(pairs[-1]), float(values[:, -1].mean()), values[:, -1].tolist())


def coverage(checks: Sequence[Hidden]) -> Mapping[str, float]:
    """How often hidden values lay inside their 95 % intervals: of means, and of single runs; and the mean error.

    >>> coverage([hide_last([20, 50, 100, 200], np.full((2, 4), 0.5), gallery=100)])["means"]
    1.0
    """
    require(len(checks) > 0, "checks", got=0, wanted="at least 1 hidden count")
    runs = sum(len(check.runs) for check in checks)
    return dict(
        hidden=len(checks),
        means=sum(check.mean_inside for check in checks) / len(checks),
        runs=sum(check.runs_inside for check in checks) / runs,
        error=float(np.mean([abs(check.prediction.mean - check.mean) for check in checks])),
        bias=float(np.mean([check.prediction.mean - check.mean for check in checks])),
        width=float(np.mean([check.prediction.high - check.prediction.low for check in checks])),
    )


def _binomial(linked: np.ndarray, gallery: int) -> np.ndarray:
    """Variance of the link of a share of a gallery's items; half an item is the least that a share may lack."""
    share = np.clip(_value(linked), 0.5 / gallery, 1 - 0.5 / gallery)
    return (1 - share) / (gallery * share * np.log(share) ** 2)


def _link(value: np.ndarray) -> np.ndarray:
    return -np.log(-np.log(value))


def _value(linked: Any) -> np.ndarray:
    return np.exp(-np.exp(-np.maximum(linked, -700.0)))  # e^700 is about the largest float
