"""Co-trained heads: heads on several views of the rows, fitted on the pairs and then on unpaired rows with soft partners."""

from __future__ import annotations

import logging
import time
from typing import Any, Literal

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.solvers.auto.choice import LEAST_WEIGHT, corrections, mixture, out_of_fold
from gera_jax.solvers.auto.search import EXACT, HUB, corrected, density, nearest_both, neighbour_mean, soft_weights
from gera_jax.solvers.auto.trained import Trained
from gera_jax.solvers.auto.trust import trusted
from gera_jax.solvers.auto.views import Kernel, Leading, Narrow, Plain, Pool, Smoothed, blocks
from gera_jax.solvers.linear import ONE_DIRECTION, SharedSpace, checked_pairs, even, narrowing, unit_rows
from gera_jax.solvers.ridge_cca import regularization_rule
from gera_jax.solvers.settings import check_auto, check_count, check_number, is_number
from gera_jax.solvers.soft_cca import SAMPLE, Heads, Ridge, deviation, scaled
from gera_jax.solvers.store import size_bytes
from gera_jax.solvers.wasserstein_procrustes import WassersteinProcrustes

Array = np.ndarray
logger = logging.getLogger("gera_jax")
ENOUGH_UNPAIRED = 400  # rows a modality from which on the unpaired rows have their full weight
NARROWING = 2000  # pool rows of each modality, at even steps, from which a narrower space is estimated
BASIS = 512  # dimensions in which the scores of pools of more than EXACT rows are formed
SHORTLIST = 40  # best scores of a row of such a pool, among which its partners are corrected for hubs
MATCHED = 10_000  # unpaired rows of a side that are matched at most
ENOUGH_PAIRS = 100  # from which on the pairs choose the mixture and the corrections by cross-validation
HUBNESS, EXPANSION = (0.0, 0.125, 0.25, 0.375, 0.5), (0.0, 0.15)  # what they choose from
FEW_PAIRS = (0.25, 0.15)  # hubness and expansion below ENOUGH_PAIRS
FEWEST_PAIRS = 20  # up to which the matching has its full weight
# two matchings end in different local maxima, and their mean is better than either: one starts at the pairs' rotation, one at
# matched cluster centres
MATCHINGS = (dict(pair_mass=5.0, restarts=0), dict(pair_mass=5.0))
FROM_PAIRS = {"narrow": ENOUGH_PAIRS, "trained": 2000}  # views that are left out below: fewer rows have no close neighbour, or
# teach a network no more than ridge CCA knows
NEEDS_UNPAIRED = {"smoothed"}  # views that weigh less below ENOUGH_PAIRS where unpaired rows are few
VIEWS = {  # features, and what learns heads on them
    "plain": (Plain, Ridge),
    "smoothed": (Smoothed, Ridge),
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

    1. Views of a row: the row itself; the row beside its diffusion over the pool's neighbour graph; features of a wide kernel;
       and from 100 pairs on features of a narrow kernel. Landmarks of the kernels are all pairs up to 2,000; unpaired rows fill
       them up to 400. From 2,000 pairs on "trained" is a view too: its heads are residual MLPs (`auto.trained`).
    2. Ridge CCA is fitted on each other view. The score is the weighted sum of the views' cosines, each divided by its deviation
       on the pool. From 100 pairs on the weights are estimated from held-out pairs, in 5, 3 or 1 folds of the known pairs, and
       `shrink` draws them towards equal weights. Below 100 pairs the weights are equal; where the modalities have on average
       fewer than 400 unpaired rows, that of "smoothed" shrinks in proportion.
       Below 100 pairs the scores of two `WassersteinProcrustes` join the sum, because the shape of the unpaired rows then says
       more than so few pairs. Their mean score is scaled to a deviation of matching * min(1, 20 / p) times that of the sum.
    3. Co-training, `rounds` times: the hubness-corrected score of step 2 gives each unpaired row a soft partner among the rows
       of the other pool. Every view is then refitted on pairs and soft pairs. The cross-covariance of the soft pairs has weight
       pseudo_weight * min(1, 100 / p); up to 0.02 this step is left out. The heads from before co-training stay in the sum, at
       weight 1/2.
    4. Expansion: a row also carries the mean of its 15 best pool rows of the other modality. This mean is compared with rows in
       that modality's own space, at weight expansion * min(1, 200 / p). Where the modalities have on average fewer than 400
       unpaired rows, the weights of the matching, of step 3 and of step 4 shrink in proportion.
    5. Hubness: the final score is score - hubness * (d(x) + d(y)), where d is the mean of the 10 best scores against the other
       modality's pool. "auto" chooses the expansion from {0, 0.15} and the hubness from {0, 0.125, ..., 0.5} by the held-out
       pairs of step 2. Below 100 pairs they are 0.15 and 0.25.

    The sum is one pair of heads by concatenation: `transform_x` and `transform_y` give unit rows whose dot product is a
    constant times that score. A new row is embedded by itself: only the stored pool enters, never the gallery.

    Args:
      views: which features, of "plain", "smoothed", "kernel", "narrow", "trained". The last two join from 100 and 2,000 pairs on.
      rounds: of co-training, 0 = none.
      pseudo_weight: in [0, 1), weight of the soft pairs at 100 pairs or fewer.
      matching: >= 0, weight of the matching at 20 pairs or fewer, 0 = none. It needs the view "plain" and unpaired rows of both.
      expansion: >= 0, weight of the expansion, 0 = none; or "auto".
      hubness: >= 0, weight of the densities, 0 = none; or "auto".
      shrink: >= 0, strength of a prior, as a number of pairs. It draws the views' weights towards equal ones, and the choice in
        step 5 towards the likelihood. Infinity gives equal weights, and then no pairs are held out for them.
      regularization: >= 0, factor on the ridge's rule `regularization_rule(p)` (the kernel views: at most 1). The ridge of
        "plain" and "smoothed" is relative to the mean variance of min(`dim`, width of the input) directions, also where there are
        fewer rows than directions.
      dim: principal directions of each modality that are kept. Kernel features and canonical directions are not cut: that costs
        R@10 from 200 pairs on.
      width: >= 3, dimensions of the shared space; None = all, some thousands. A narrower space keeps the leading singular
        directions of the pools' scores U S V': a row z of x becomes z Y' V S^-1/2, one of y z X' U S^-1/2.
      max_pool: rows of each modality's pool that are used at most, pairs first, then unpaired rows at even steps. With 1,000
        pairs and 20,000 unpaired rows of each, 1024 and 768 wide, a fit takes 49 CPU seconds and 1.2 GiB (`benchmarks.fits`).

    Attributes after fit:
      views_used: the views that joined; mixture: weight of each.
      hubness_used, expansion_used: what was chosen; matching_used: the weight it had.
      foreign_share: estimated shares of foreign rows among the unpaired rows of x and of y; 0 where none were left out.
      pool_rows: stored rows of x and of y; size_bytes: memory of all that transforms need.

    Cost: float32, O(n^2) scores of at most 512 dimensions for pools of n rows above 4,000, of all dimensions below. No n x n
    array and no copy of the rows is in memory: they may be memory maps. The matchings take 3 to 7 CPU seconds, no more for larger
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
        expansion: float | Literal["auto"] = "auto",
        hubness: float | Literal["auto"] = "auto",
        shrink: float = 10.0,
        regularization: float = 1.0,
        dim: int = 512,
        width: int | None = None,
        max_pool: int = 30_000,
    ):
        some = isinstance(views, list | tuple) and len(views) > 0
        require(some, "views", got=views or "none", wanted=f"some of {sorted(VIEWS)}")
        for view in views:
            require_known(view, VIEWS, "view")
        check_count(rounds, "rounds", 0)
        require(is_number(pseudo_weight) and pseudo_weight < 1, "pseudo_weight", got=pseudo_weight, wanted="a number in [0, 1)")
        check_number(matching, "matching")
        check_auto(expansion, "expansion")
        check_auto(hubness, "hubness")
        check_number(shrink if shrink != np.inf else 0, "shrink")
        check_number(regularization, "regularization")
        check_count(dim, "dim", 1)
        wide = width is None or (isinstance(width, int | np.integer) and width >= 3)
        require(wide, "width", got=width, wanted="None or an int >= 3")
        check_count(max_pool, "max_pool", 2)
        self.views, self.rounds, self.pseudo_weight, self.matching = tuple(views), rounds, pseudo_weight, matching
        self.expansion, self.hubness, self.shrink, self.regularization = expansion, hubness, shrink, regularization
        self.dim, self.width, self.max_pool = dim, width, max_pool

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> CotrainedHeads:
        """Fit on pairs [p, dx], [p, dy] (row i belongs to row i) and unpaired rows x [n, dx], y [m, dy].

        The logger "gera_jax" has a line a stage, with the seconds so far.

        Raises:
          InputError: the pairs of a side lie in one direction from the mean.
        """
        began = time.monotonic()

        def reached(stage: str) -> None:
            logger.info("auto: %s after %.1f s", stage, time.monotonic() - began)

        x_pairs, y_pairs, x, y = checked_pairs(x_pairs, y_pairs, x, y)
        self._widths = (x_pairs.shape[1], y_pairs.shape[1])
        x, y, self.foreign_share = trusted(x_pairs, y_pairs, x, y)
        self._pools = tuple(Pool(pairs, self._spread(rows, len(pairs)), self.dim) for pairs, rows in ((x_pairs, x), (y_pairs, y)))
        for pool, name in zip(self._pools, ("x_pairs", "y_pairs"), strict=True):
            got, wanted = "rows of one direction from the mean of all rows", "rows that differ in direction"
            remedy = "Has the modality more than one column that varies?"
            require(np.ptp(pool.rows[: pool.pairs], axis=0).max() > ONE_DIRECTION, name, got=got, wanted=wanted, remedy=remedy)
        p = len(x_pairs)
        self.views_used = [name for name in self.views if p >= FROM_PAIRS.get(name, 0)] or list(self.views)
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
        self._sum(matched, (1.0, first))
        reached(f"heads of {p} pairs")
        for _ in range(self.rounds if weight > LEAST_WEIGHT else 0):
            soft = self._soft_partners(*self._of_pools())
            self._sum(matched, (1.0, [learner.fit(soft, weight) for learner in self._learners]), (0.5, first))
            reached("co-training")
        self._finish(p)
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

    def _spread(self, rows: Array, p: int) -> Array:
        """Unpaired rows at even steps, so that pairs and they fit into `max_pool`."""
        return rows[even(len(rows), max(self.max_pool - p, 0))]

    def _choose(self, p: int) -> None:
        """Mixture, hubness and expansion: as asked for, or by pairs that are held out, and then only views that count."""
        asked = (self.hubness, self.expansion)
        used = [f if a == "auto" else a for a, f in zip(asked, FEW_PAIRS, strict=True)]
        lean = p < ENOUGH_PAIRS
        equal = np.array([self._trust if lean and name in NEEDS_UNPAIRED else 1.0 for name in self.views_used])
        self.mixture = len(equal) * equal / equal.sum() if equal.any() else np.ones(len(equal))
        mixing = len(self._views) > 1 and np.isfinite(self.shrink)
        if p >= ENOUGH_PAIRS and (mixing or "auto" in asked):
            folds = out_of_fold(self._learners, [(x.pool, y.pool) for x, y in self._views], p)
            if mixing:
                self.mixture = mixture(folds, self.shrink, p)
            if "auto" in asked:
                offers = [(o if a == "auto" else (a,)) for a, o in zip(asked, (HUBNESS, EXPANSION), strict=True)]
                used = corrections(folds, self.mixture, (self._pools[0].rows, self._pools[1].rows), *offers, self.shrink, p)
        self.hubness_used, self.expansion_used = (float(value) for value in used)
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

    def _sum(self, matched: tuple[int, Heads] | None, *stages: tuple[float, list[Heads]]) -> None:
        """`_heads`: weight in the score, view and heads of every term, from the views' heads at each stage and the matching."""
        shares = self.mixture[self._active]
        self._heads = [
            (weight * share, i, heads)
            for weight, stage in stages
            for i, (share, heads) in enumerate(zip(shares, stage, strict=True))
        ]
        if matched:
            self._heads.append((self.matching_used * deviation(*self._sampled(SAMPLE)), *matched))
        self._basis = self._joint_basis()

    def _joint_basis(self) -> tuple[Array, Array] | None:
        """`narrowing` of both sides' heads to BASIS dimensions; None where these or the rows are few enough."""
        width = sum(heads.width for _, _, heads in self._heads)
        if min(map(len, self._pools)) <= EXACT or width <= BASIS:
            return None
        return narrowing(*self._sampled(NARROWING), BASIS)

    def _sampled(self, count: int) -> tuple[Array, Array]:
        """Heads of at most `count` pool rows of each side, at even steps, in all their dimensions."""
        x, y = (
            self._concatenated([views[side].pool[even(len(self._pools[side]), count)] for views in self._views], side)
            for side in (0, 1)
        )
        return x, y

    def _soft_partners(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Sparse weights [n, m] of the partners of the unpaired rows of x, and [m, n] of those of y."""
        p, spread = self._pools[0].pairs, deviation(x, y)
        if self._basis is None:
            densities = [scores.mean(axis=1) for _, scores in nearest_both(x, y, HUB)]
            found = nearest_both(x, y, 15, x_shift=densities[0] / 2, y_shift=densities[1] / 2)
        else:
            short = nearest_both(x, y, SHORTLIST)
            densities = [np.partition(scores, -HUB, axis=1)[:, -HUB:].mean(axis=1) for _, scores in short]
            found = tuple(corrected(*short[i], densities[1 - i] / 2, 15) for i in (0, 1))
        of_x, of_y = (
            soft_weights((indices[p:], scores[p:]), len(self._pools[other]), 0.5 * spread)
            for other, (indices, scores) in zip((1, 0), found, strict=True)
        )
        return of_x, of_y

    def _concatenated(self, features: list[Array], side: int) -> Array:
        """Heads of all terms side by side, of each view's `features`."""
        return np.concatenate(
            [np.float32(np.sqrt(weight)) * heads.apply(features[view], side) for weight, view, heads in self._heads], axis=1
        )

    def _joint(self, features: list[Array], side: int) -> Array:
        """Rows whose products are the mixed scores: the heads, in the joint basis where there is one."""
        if self._basis is None:
            return self._concatenated(features, side)
        found, first = np.zeros((len(features[0]), self._basis[side].shape[1]), np.float32), 0
        for weight, view, heads in self._heads:
            found += heads.apply(features[view], side) @ (
                np.float32(np.sqrt(weight)) * self._basis[side][first : first + heads.width]
            )
            first += heads.width
        return found

    def _of_pools(self) -> tuple[Array, Array]:
        """`_joint` of both pools."""
        x, y = (
            np.concatenate([self._joint([v[side].pool[block] for v in self._views], side) for block in blocks(len(pool))])
            for side, pool in enumerate(self._pools)
        )
        return x, y

    def _finish(self, p: int) -> None:
        """Scale of the scores, densities of the pools and the constants that make rows unit."""
        heads = self._of_pools()
        scale = np.float32(1 / np.sqrt(deviation(*heads)))
        self._scale, self._pool_heads = scale, (heads[0] * scale, heads[1] * scale)
        self._shifts = tuple(scores.mean(axis=1) for _, scores in nearest_both(*self._pool_heads, HUB))
        self._typical = tuple(float(shift.mean()) for shift in self._shifts)
        self._weights = (0.0, 0.0)
        expansion = self.expansion_used * min(1.0, 200 / p) * self._trust
        if expansion > 0:
            spreads = [deviation(self._expand(self._pool_heads[i][:SAMPLE], i), self._pools[1 - i].rows) for i in (0, 1)]
            self._weights = tuple(np.sqrt(expansion / spread) for spread in spreads)
        self._reach = 2 * max(float(np.abs(s - t).max()) for s, t in zip(self._shifts, self._typical, strict=True))
        length = sum((heads.scale * scale) ** 2 * weight for weight, _, heads in self._heads)
        if self._basis is not None:  # rows have no common length there
            length = 1.1 * max(float(np.sum(rows * rows, axis=1).max()) for rows in self._pool_heads)
        hub = 1 + (self.hubness_used * self._reach) ** 2 if self.hubness_used > 0 else 0.0
        self._length = length + sum(w**2 for w in self._weights) + hub
        self._maps = None
        if self.width is not None:
            self._narrow()
        for view in (view for sides in self._views for view in sides):
            del view.pool  # only the fit needs it
        del self._learners

    def _expand(self, heads: Array, side: int) -> Array:
        """Unit rows: where the best pool rows of the other modality lie in its own space."""
        keys, rows, shift = self._pool_heads[1 - side], self._pools[1 - side].rows, self._shifts[1 - side] / 2
        return unit_rows(neighbour_mean(heads, keys, rows, k=15, temperature=0.5, shift=shift)).astype(np.float32)

    def _narrow(self) -> None:
        """Maps of unpadded rows to `width` - 2 dimensions, and the length that rows then have."""
        x, y = (self._score_rows(pool.rows[even(len(pool), NARROWING)], side) for side, pool in enumerate(self._pools))
        self._maps = narrowing(x, y, self.width - 2)
        self._length = 1.1 * max(float(np.sum((rows @ m) ** 2, axis=1).max()) for rows, m in zip((x, y), self._maps, strict=True))

    def _score_rows(self, coordinates: Array, side: int) -> Array:
        """Rows whose products are the scores: heads, expansions and hubness side by side."""
        heads = self._scale * self._joint([views[side](coordinates) for views in self._views], side)
        parts = [heads]
        if any(self._weights):
            own, other = self._weights[side], self._weights[1 - side]
            expanded = [own * self._expand(heads, side), other * coordinates]
            parts += expanded if side == 0 else expanded[::-1]
        if self.hubness_used > 0:
            shift = density(heads, self._pool_heads[1 - side]) - self._typical[side]
            shift = -self.hubness_used * np.clip(shift, -self._reach, self._reach)[:, None]
            parts += [shift, np.ones_like(shift)] if side == 0 else [np.ones_like(shift), shift]
        return np.concatenate(parts, axis=1)

    def _transform(self, rows: Array, side: int) -> Array:
        z = self._score_rows(self._pools[side].coordinates(rows), side)
        if self._maps is not None:
            z = z @ self._maps[side]
        # A direction of its own fills each row up to the common length; rows of the other modality are 0 in it.
        rest = np.sqrt(np.maximum(self._length - np.sum(z * z, axis=1, keepdims=True), 0))
        rest = [rest, np.zeros_like(rest)] if side == 0 else [np.zeros_like(rest), rest]
        return unit_rows(np.concatenate([z, *rest], axis=1))
