"""Co-trained heads: heads on several views of the rows, fitted on the pairs and then on unpaired rows with soft partners."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.solvers.auto.budget import Plan, within
from gera_jax.solvers.auto.choice import LEAST_WEIGHT, hub_weight, mixture, out_of_fold
from gera_jax.solvers.auto.joint import Group, joint_maps
from gera_jax.solvers.auto.search import HUB, corrected, density, nearest_both, soft_weights
from gera_jax.solvers.auto.trained import Trained
from gera_jax.solvers.auto.trust import trusted
from gera_jax.solvers.auto.views import Kernel, Leading, Narrow, Plain, Pool, blocks
from gera_jax.solvers.linear import ONE_DIRECTION, SharedSpace, checked_pairs, even, unit_rows
from gera_jax.solvers.ridge_cca import regularization_rule
from gera_jax.solvers.settings import check_auto, check_count, check_number, is_number
from gera_jax.solvers.soft_cca import Heads, Ridge, deviation, scaled
from gera_jax.solvers.store import size_bytes
from gera_jax.solvers.wasserstein_procrustes import WassersteinProcrustes

Array = np.ndarray
logger = logging.getLogger("gera_jax")
ENOUGH_UNPAIRED = 400  # rows a modality from which on the unpaired rows have their full weight
NARROWING = 2000  # pool rows of each modality, at even steps, from which the joint space is estimated
REFERENCE = 2000  # pool rows of each modality, at even steps, that are stored, and from which densities are taken
WIDTHS = (512, 1024)  # columns of the shared space below MANY_PAIRS, and from there on
MANY_PAIRS = 1000
EXTRA = 4  # columns beside the joint space: two for the hubness, two that fill a row up to the common length
SHORTLIST, PARTNERS = 40, 15  # best scores of a row, and those of them that remain after a correction of hubs
MATCHED = 10_000  # unpaired rows of a side that are matched at most
ENOUGH_PAIRS = 100  # from which on the pairs choose the mixture and the corrections by cross-validation
HUBNESS, FEW_HUBNESS = (0.0, 0.125, 0.25, 0.375, 0.5), 0.25  # what they choose from; the hubness below ENOUGH_PAIRS
FEWEST_PAIRS = 20  # up to which the matching has its full weight
# two matchings end in different local maxima, and their mean is better than either: one starts at the pairs' rotation, one at
# matched cluster centres
MATCHINGS = (dict(pair_mass=5.0, restarts=0), dict(pair_mass=5.0))
FROM_PAIRS = {"narrow": ENOUGH_PAIRS, "trained": 2000}  # views that are left out below: fewer rows have no close neighbour, or
# teach a network no more than ridge CCA knows
BELOW_PAIRS = {"kernel": ENOUGH_PAIRS}  # views that are left out from there on: beside the narrow kernel it adds nothing
VIEWS = {  # features, and what learns heads on them
    "plain": (Plain, Ridge),
    "kernel": (Kernel, Ridge),
    "narrow": (Narrow, Ridge),
    "trained": (Leading, Trained),
}


class CotrainedHeads(SharedSpace):
    """The library's recipe for few pairs and many unpaired rows. It has one setting for every set and number of pairs.

    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(300, 4)); x, y = z @ rng.normal(size=(4, 8)), z @ rng.normal(size=(4, 6))
    >>> model = CotrainedHeads().fit(x[:20], y[:20], x=x[20:160], y=y[160:280])
    >>> (model.similarity(x[280:], y[280:]).argmax(axis=1) == np.arange(20)).mean() > 0.7
    np.True_

    The pool of a modality is all its training rows, with and without a partner; p is the number of known pairs. Unpaired rows
    that are unlike the rows of the pairs are left out first, with a `UserWarning`, but only where more than a fifth of them are
    foreign beyond doubt (see `trust`). Where none are left out this step changes nothing.

    1. Views of a row: the row itself; features of a wide kernel below 100 pairs, of a narrow one from there on. Landmarks of the
       kernels are all pairs up to 2,000; unpaired rows fill them up to 400. From 2,000 pairs on "trained" is a view too: its
       heads are residual MLPs (`auto.trained`).
    2. Ridge CCA is fitted on each other view. The score is the weighted sum of the views' cosines, each divided by its deviation
       on the pool. From 100 pairs on the weights are estimated from held-out pairs, in 5, 3 or 1 folds of the known pairs, and
       `shrink` draws them towards equal weights. Below 100 pairs the weights are equal.
       Below 100 pairs the scores of two `WassersteinProcrustes` join the sum, because the shape of the unpaired rows then says
       more than so few pairs. Their mean score is scaled to a deviation of matching * min(1, 20 / p) times that of the sum.
    3. Co-training, `rounds` times: the hubness-corrected score of step 2 gives each unpaired row a soft partner among the rows
       of the other pool. Every view is then refitted on pairs and soft pairs. The cross-covariance of the soft pairs has weight
       pseudo_weight * min(1, 100 / p); up to 0.02 this step is left out. The heads from before co-training stay in the sum, at
       weight 1/2. Where the modalities have on average fewer than 400 unpaired rows, the weights of the matching and of this
       step shrink in proportion.
    4. Hubness: the final score is score - hubness * (d(x) + d(y)), where d is the mean of the 10 best scores against at most
       2,000 rows of the other modality's pool. "auto" chooses it from {0, 0.125, ..., 0.5} by the held-out pairs of step 2.
       Below 100 pairs it is 0.25.

    The sum is a product of two rows, one of each side: `transform_x` and `transform_y` give unit rows whose dot product is a
    constant times that score, up to what a space of `width` dimensions loses (`auto.joint`). A new row is embedded by itself:
    only what was fitted enters, never the gallery.

    Args:
      views: which features, of "plain", "kernel", "narrow", "trained".
      rounds: of co-training, 0 = none.
      pseudo_weight: in [0, 1), weight of the soft pairs at 100 pairs or fewer.
      matching: >= 0, weight of the matching at 20 pairs or fewer, 0 = none. It needs the view "plain" and unpaired rows of both.
      hubness: >= 0, weight of the densities, 0 = none; or "auto".
      shrink: >= 0, strength of a prior, as a number of pairs. It draws the views' weights towards equal ones, and the choice in
        step 4 towards the likelihood. Infinity gives equal weights, and then no pairs are held out for them.
      regularization: >= 0, factor on the ridge's rule `regularization_rule(p)` (the kernel views: at most 1). The ridge of
        "plain" is relative to the mean variance of min(`dim`, width of the input) directions, also where there are fewer rows
        than directions.
      dim: principal directions of each modality that are kept. Kernel features and canonical directions are not cut: that costs
        R@10 from 200 pairs on.
      width: > 4, columns of the shared space at most; None = 512 below 1,000 pairs and 1,024 from there on, where fewer cost R@1.
        It keeps the leading singular directions of the pools' scores U S V': a row z of all heads of x becomes z Y' V S^-1/2, one
        of y z X' U S^-1/2. Four columns are for hubs and for unit length.
      max_pool: rows of each modality's pool that are used at most, pairs first, then unpaired rows at even steps. With 1,000
        pairs and 20,000 unpaired rows of each, 1024 and 768 wide, a fit takes 27 CPU seconds and 0.6 GiB (`benchmarks.fits`).
      seconds: CPU seconds of one core that a fit may take, nearly (`auto.budget`): unpaired rows beyond it are left out, then
        trained heads, then the kernel. None = as many as it takes.
      memory: GiB that a fit may take beside the tables, likewise.

    Attributes after fit:
      views_used: the views that joined; mixture: weight of each.
      hubness_used: what was chosen; matching_used: the weight it had.
      left_out: what the budget left out, in words.
      foreign_share: estimated shares of foreign rows among the unpaired rows of x and of y; 0 where none were left out.
      pool_rows: rows of x and of y that were used; size_bytes: memory of all that transforms need.

    Cost: float32, O(n^2) scores of `width` dimensions for pools of n rows where there is co-training. No n x n array and no copy
    of the rows is in memory: they may be memory maps. The matchings take 3 to 7 CPU seconds, no more for larger
    pools. The same rows give the same heads: the draws of the matchings and of the joint basis have a fixed seed.

    Source: co-training, Blum & Mitchell (COLT 1998); CSLS, Conneau et al. (ICLR 2018); stacking, Breiman (1996); figures in
    docs/results/label_efficiency.md. The matchings: see `WassersteinProcrustes`.
    """

    def __init__(
        self,
        *,
        views: tuple[str, ...] = tuple(VIEWS),
        rounds: int = 1,
        pseudo_weight: float = 0.4,
        matching: float = 0.5,
        hubness: float | Literal["auto"] = "auto",
        shrink: float = 10.0,
        regularization: float = 1.0,
        dim: int = 512,
        width: int | None = None,
        max_pool: int = 30_000,
        seconds: float | None = None,
        memory: float | None = None,
    ):
        some = isinstance(views, list | tuple) and len(views) > 0
        require(some, "views", got=views or "none", wanted=f"some of {sorted(VIEWS)}")
        for view in views:
            require_known(view, VIEWS, "view")
        check_count(rounds, "rounds", 0)
        require(is_number(pseudo_weight) and pseudo_weight < 1, "pseudo_weight", got=pseudo_weight, wanted="a number in [0, 1)")
        check_number(matching, "matching")
        check_auto(hubness, "hubness")
        check_number(shrink if shrink != np.inf else 0, "shrink")
        check_number(regularization, "regularization")
        check_count(dim, "dim", 1)
        check_count(WIDTHS[0] if width is None else width, "width", EXTRA + 1)
        check_count(max_pool, "max_pool", 2)
        for name, budget in (("seconds", seconds), ("memory", memory)):
            check_number(1 if budget is None else budget, name, positive=True)
        self.views, self.rounds, self.pseudo_weight, self.matching = tuple(views), rounds, pseudo_weight, matching
        self.hubness, self.shrink, self.regularization = hubness, shrink, regularization
        self.dim, self.width, self.max_pool, self.seconds, self.memory = dim, width, max_pool, seconds, memory

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> CotrainedHeads:
        """Fit on pairs [p, dx], [p, dy] (row i belongs to row i) and unpaired rows x [n, dx], y [m, dy].

        The logger "gera_jax" has a line a stage, with the seconds so far.

        Raises:
          InputError: the pairs of a side lie in one direction from the mean; a budget that is too small for ridge CCA.
        """
        began = time.monotonic()

        def reached(stage: str) -> None:
            logger.info("auto: %s after %.1f s", stage, time.monotonic() - began)

        x_pairs, y_pairs, x, y = checked_pairs(x_pairs, y_pairs, x, y)
        self._widths = (x_pairs.shape[1], y_pairs.shape[1])
        x, y, self.foreign_share = trusted(x_pairs, y_pairs, x, y)
        p = len(x_pairs)
        self._width = WIDTHS[p >= MANY_PAIRS] if self.width is None else self.width
        self.views_used, counts = self._plan(p, (len(x), len(y)))
        x, y = (rows[even(len(rows), count)] for rows, count in zip((x, y), counts, strict=True))
        self._pools = (Pool(x_pairs, x, self.dim), Pool(y_pairs, y, self.dim))
        for pool, name in zip(self._pools, ("x_pairs", "y_pairs"), strict=True):
            got, wanted = "rows of one direction from the mean of all rows", "rows that differ in direction"
            remedy = "Has the modality more than one column that varies?"
            require(np.ptp(pool.rows[: pool.pairs], axis=0).max() > ONE_DIRECTION, name, got=got, wanted=wanted, remedy=remedy)
        kinds = [VIEWS[name] for name in self.views_used]
        self._views = [(view(self._pools[0]), view(self._pools[1])) for view, _ in kinds]
        ridge = self.regularization * regularization_rule(len(x_pairs))
        # A ridge is relative to the mean variance of a direction, and few rows have few directions of more variance each.
        lack = tuple(
            min(1.0, (len(pool) - 1) / min(self.dim, width)) for pool, width in zip(self._pools, self._widths, strict=True)
        )
        linear, kernel = tuple(ridge * share for share in lack), (min(1.0, ridge),) * 2
        self._learners = [
            learner(x.pool, y.pool, p, kernel if issubclass(view, Kernel) else linear)
            for (view, learner), (x, y) in zip(kinds, self._views, strict=True)
        ]
        reached(f"views {', '.join(self.views_used)} of {len(self._pools[0])} and {len(self._pools[1])} rows")
        # Soft partners and neighbours among few unpaired rows are far away, so these rows get less weight.
        self._trust = min(1.0, (sum(map(len, self._pools)) / 2 - p) / ENOUGH_UNPAIRED)
        self._choose(p)
        reached(f"weights {np.round(self.mixture, 2).tolist()}")
        weight = self.pseudo_weight * min(1.0, 100 / p) * self._trust
        first, matched = [learner.fit() for learner in self._learners], self._match(p)
        rounds = self.rounds if weight > LEAST_WEIGHT else 0
        self._sum(rounds == 0, matched, (1.0, first))
        reached(f"heads of {p} pairs")
        for left in range(rounds, 0, -1):
            soft = self._soft_partners()
            self._sum(left == 1, matched, (1.0, [learner.fit(soft, weight) for learner in self._learners]), (0.5, first))
            reached("co-training")
        self._finish()
        reached("densities of the pools")
        return self

    def transform_x(self, x: Any) -> Array:
        """Unit rows [n, r] of the shared space."""
        return self._transform(self._checked(x, "x", 0), 0)

    def transform_y(self, y: Any) -> Array:
        """Unit rows [m, r] of the shared space."""
        return self._transform(self._checked(y, "y", 1), 1)

    @property
    def pool_rows(self) -> tuple[int, int]:
        """Stored rows of x and of y, known pairs among them."""
        return len(self._pools[0]), len(self._pools[1])

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that the fitted object holds."""
        return size_bytes(self.__dict__)

    def _plan(self, p: int, unpaired: tuple[int, int]) -> tuple[list[str], tuple[int, int]]:
        """The views that join, and how many unpaired rows of each side are used. A `UserWarning` says what is left out."""
        joins = [name for name in self.views if FROM_PAIRS.get(name, 0) <= p < BELOW_PAIRS.get(name, np.inf)]
        most = max(self.max_pool - p, 0)
        cotrains = self.rounds > 0 and self.pseudo_weight * min(1.0, 100 / p) > LEAST_WEIGHT
        counts = (min(unpaired[0], most), min(unpaired[1], most))
        plan = Plan(tuple(joins or self.views), p, counts, self._widths, self.dim, cotrains)
        plan, self.left_out = within(plan, self.seconds, self.memory)
        if self.left_out:
            budget = ", ".join(
                f"{name}={value:g}" for name in ("seconds", "memory") if (value := getattr(self, name)) is not None
            )
            warnings.warn(f"{budget}: auto leaves out {' and '.join(self.left_out)}.", UserWarning, stacklevel=3)
        return list(plan.views), plan.unpaired

    def _choose(self, p: int) -> None:
        """Mixture and hubness: as asked for, or by pairs that are held out, and then only views that count."""
        chosen = self.hubness == "auto"
        self.hubness_used = FEW_HUBNESS if chosen else float(self.hubness)
        self.mixture, mixing = np.ones(len(self._views)), len(self._views) > 1 and np.isfinite(self.shrink)
        if p >= ENOUGH_PAIRS and (mixing or chosen):
            folds = out_of_fold(self._learners, [(x.pool, y.pool) for x, y in self._views], p)
            self.mixture = mixture(folds, self.shrink, p) if mixing else self.mixture
            self.hubness_used = hub_weight(folds, self.mixture, HUBNESS, self.shrink, p) if chosen else self.hubness_used
        self._active = [i for i, weight in enumerate(self.mixture) if weight > LEAST_WEIGHT]
        self._views, self._learners = ([items[i] for i in self._active] for items in (self._views, self._learners))

    def _match(self, p: int) -> tuple[int, Heads] | None:
        """The plain view's number and its heads by matching, where pairs are few and both sides have rows to match."""
        names = [self.views_used[i] for i in self._active]
        wanted = p < ENOUGH_PAIRS and "plain" in names and min(map(len, self._pools)) >= p + 2
        self.matching_used = self.matching * min(1.0, FEWEST_PAIRS / p) * self._trust if wanted else 0.0
        if not self.matching_used:
            return None
        x, y = (view.pool for view in self._views[names.index("plain")])
        unpaired = [rows[:][p:][even(len(rows) - p, MATCHED)] for rows in (x, y)]
        found = [WassersteinProcrustes(**options).fit(x[:p], y[:p], *unpaired) for options in MATCHINGS]
        weights = [
            np.concatenate([getattr(model, side) for model in found], axis=1).astype(np.float32)
            for side in ("x_weights", "y_weights")
        ]
        return names.index("plain"), scaled(Heads(tuple(weights), 1.0), x, y)

    def _sum(self, last: bool, matched: tuple[int, Heads] | None, *stages: tuple[float, list[Heads]]) -> None:
        """`_maps` of the score: the views' heads at each stage with their weights, and the matching."""
        shares = self.mixture[self._active]
        self._groups = [Group(i, [(weight * share, stage[i]) for weight, stage in stages]) for i, share in enumerate(shares)]
        samples = self._features([even(len(pool), NARROWING) for pool in self._pools])
        width = (self._width if last else min(self._width, WIDTHS[0])) - EXTRA  # partners need no more columns
        self._maps = joint_maps(self._groups, samples, width)
        if matched:
            weight = self.matching_used * deviation(*(self._joint([own[side] for own in samples], side) for side in (0, 1)))
            self._groups.append(Group(matched[0], [(weight, matched[1])]))
            self._maps = joint_maps(self._groups, samples, width)

    def _features(self, rows: Sequence[Any]) -> list[tuple[Array, Array]]:
        """Of each view the features of the pools' `rows`."""
        return [(x.pool[rows[0]], y.pool[rows[1]]) for x, y in self._views]

    def _joint(self, features: Sequence[Array], side: int) -> Array:
        """Rows whose products are the mixed scores, of each view's `features`."""
        return sum(maps[side](features[group.view]) for group, maps in zip(self._groups, self._maps, strict=True))

    def _soft_partners(self) -> tuple[Any, Any]:
        """Sparse weights [n, m] of the partners of the unpaired rows of x, and [m, n] of those of y."""
        x, y = (
            np.concatenate([self._joint([v[side].pool[block] for v in self._views], side) for block in blocks(len(pool))])
            for side, pool in enumerate(self._pools)
        )
        p, spread, short = self._pools[0].pairs, deviation(x, y), nearest_both(x, y, SHORTLIST)
        densities = [np.partition(scores, -min(HUB, scores.shape[1]), axis=1)[:, -HUB:].mean(axis=1) for _, scores in short]
        of_x, of_y = (
            soft_weights(corrected(indices[p:], scores[p:], densities[1 - i] / 2, PARTNERS), len(densities[1 - i]), 0.5 * spread)
            for i, (indices, scores) in enumerate(short)
        )
        return of_x, of_y

    def _finish(self) -> None:
        """Scale of the scores, reference rows for the densities, and the constants that make rows unit."""
        samples = self._features([even(len(pool), REFERENCE) for pool in self._pools])
        x, y = (self._joint([own[side] for own in samples], side) for side in (0, 1))
        self._scale = np.float32(1 / np.sqrt(deviation(x, y)))
        self._keys = (x * self._scale, y * self._scale)
        shifts = [density(keys, other) for keys, other in zip(self._keys, self._keys[::-1], strict=True)]
        self._typical = tuple(float(shift.mean()) for shift in shifts)
        self._reach = 2 * max(float(np.abs(s - t).max()) for s, t in zip(shifts, self._typical, strict=True))
        squares = np.concatenate([np.sum(keys * keys, axis=1) for keys in self._keys])
        self._length = float(2 * squares.max() - squares.min())  # rows longer than all of these are nearly as long
        self._length += 1 + (self.hubness_used * self._reach) ** 2 if self.hubness_used > 0 else 0.0
        self._maps = [
            tuple(own.folded(view.linear, view.mean) for own, view in zip(maps, self._views[group.view], strict=True))
            for group, maps in zip(self._groups, self._maps, strict=True)
        ]
        self._order = [group.view for group in self._groups]
        for view in (view for sides in self._views for view in sides):
            view.forget()
        for pool in self._pools:
            del pool.rows
        del self._learners, self._groups

    def _transform(self, rows: Array, side: int) -> Array:
        coordinates = self._pools[side].coordinates(rows)
        raw = [views[side].raw(coordinates) for views in self._views]
        z = self._scale * sum(maps[side](raw[view]) for view, maps in zip(self._order, self._maps, strict=True))
        parts = [z]
        if self.hubness_used > 0:
            shift = density(z, self._keys[1 - side]) - self._typical[side]
            shift = -self.hubness_used * np.clip(shift, -self._reach, self._reach)[:, None]
            parts += [shift, np.ones_like(shift)] if side == 0 else [np.ones_like(shift), shift]
        # A direction of its own fills each row up to the common length; rows of the other modality are 0 in it.
        rest = np.sqrt(np.maximum(self._length - sum(np.sum(part * part, axis=1, keepdims=True) for part in parts), 0))
        parts += [rest, np.zeros_like(rest)] if side == 0 else [np.zeros_like(rest), rest]
        return unit_rows(np.concatenate(parts, axis=1).astype(np.float32, copy=False))
