"""The table: every registered loss in its configurations, with small arrays and its oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tests.contracts import (
    cases_anchors,
    cases_density,
    cases_grounding,
    cases_heat,
    cases_mixup,
    cases_structure,
    cases_transport,
)
from tests.oracles import contrastive, diffusion

N, D, M, K = 8, 4, 5, 3  # rows (divisible by 8 shards), width, points of a neighbourhood, projected width
MASK = np.array([True, True, False, True, True, True, False, True])
GROUPS = np.array([0, 1, 2, 0, 4, 1, 6, 7], np.int32)
WEIGHTS = np.array([1.0, 0.5, 2.0, 1.5, 0.25, 1.0, 3.0, 0.0])
POINT_MASK = np.ones((N, M), bool)
POINT_MASK[1, 3] = POINT_MASK[2, [1, 4]] = POINT_MASK[6, 4] = False
POINT_MASK[5] = False  # a neighbourhood with nothing in it


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def rows(seed: int, n: int = N, d: int = D) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = unit(rng.normal(size=(n, d)))
    return x, unit(x + 0.5 * rng.normal(size=(n, d)))


def sets(seed: int, a: int = N, m: int = M, d: int = D, k: int = K) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(a, m, d)), rng.normal(size=(a, m, k))


def points(seed: int, n: int = N, d: int = D) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, K))


def soft_targets() -> np.ndarray:
    t = np.random.default_rng(5).uniform(0.1, 1.0, size=(N, N)) + 2 * np.eye(N)
    return t / t.sum(1, keepdims=True)


@dataclass(frozen=True)
class Case:
    name: str
    loss: str
    oracle: Callable[..., Any]
    make: Callable[[int], tuple[np.ndarray, np.ndarray]]
    static: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # all have the batch as their first axis
    inputs: tuple[str, str] = ("x", "y")
    frozen: tuple[int, ...] = ()  # positions whose gradient is zero by design
    swappable: bool = False  # swapping the two inputs is an invariance, not a fault
    shards: bool = True  # may be called with axis_name
    wrong: dict[str, dict[str, Any]] = field(default_factory=dict)  # fault -> changes of the oracle's arguments
    held: Callable[..., dict[str, Any]] | None = None  # (case, x, y) -> arguments of the oracle that its gradient holds still
    needs: Callable[..., dict[str, np.ndarray]] | None = None  # (x, y) -> arrays without a default, where a test gives none

    @property
    def masks(self) -> dict[str, np.ndarray]:
        return {k: v for k, v in self.arrays.items() if "mask" in k}

    def data(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        return self.make(seed)

    def want(self, x, y, **changes) -> Any:
        """The oracle's value; `changes` are the faults that a companion puts in."""
        return self.oracle(x, y, **{**self.static, **self.arrays, **changes})

    def without_masks(self) -> Any:
        x, y = self.data()
        return self.want(x, y, **dict.fromkeys(self.masks))


def _contrastive() -> list[Case]:
    nce = dict(oracle=contrastive.info_nce, make=rows, static=dict(logit_scale=7.0))
    sym = dict(oracle=contrastive.symmetric_info_nce, make=rows, static=dict(logit_scale=7.0))
    sig = dict(oracle=contrastive.sigmoid_contrastive, make=rows, static=dict(logit_scale=3.0, logit_bias=-1.0))
    ntx = dict(oracle=contrastive.nt_xent, make=rows, static=dict(logit_scale=5.0), swappable=True)
    groups = dict(x_groups=GROUPS, y_groups=GROUPS)
    both = dict(x_mask=MASK, y_mask=MASK)
    other = np.roll(MASK, 1)
    return [
        Case("info_nce", "info_nce", **nce),
        Case("info_nce-masks", "info_nce", **nce, arrays=dict(x_mask=MASK, y_mask=other, weights=WEIGHTS)),
        Case("info_nce-targets", "info_nce", **nce, arrays=dict(targets=soft_targets(), x_mask=MASK)),
        Case("info_nce-groups", "info_nce", **nce, arrays=dict(**groups, **both, weights=WEIGHTS)),
        Case("symmetric_info_nce", "symmetric_info_nce", **sym, swappable=True),
        Case("symmetric-masks", "symmetric_info_nce", **sym, arrays=dict(x_mask=MASK, y_mask=other, weights=WEIGHTS)),
        Case("symmetric-groups", "symmetric_info_nce", **sym, swappable=True, arrays=dict(**groups, **both, weights=WEIGHTS)),
        Case("symmetric-targets", "symmetric_info_nce", **sym, arrays=dict(targets=soft_targets()), shards=False),
        Case("sigmoid_contrastive", "sigmoid_contrastive", **sig, swappable=True),
        Case("sigmoid-groups", "sigmoid_contrastive", **sig, arrays=dict(**groups, **both, weights=WEIGHTS)),
        Case(
            "info_nce-margin",
            "info_nce",
            **nce | dict(static=dict(logit_scale=7.0, margin=0.2)),
            arrays=dict(x_mask=MASK, y_mask=other),
            wrong={"no margin": dict(margin=0.0), "margin": dict(margin=-0.2)},
        ),
        Case(
            "symmetric-margin-groups",
            "symmetric_info_nce",
            **sym | dict(static=dict(logit_scale=7.0, margin=0.2)),
            swappable=True,
            arrays=dict(**groups, **both),
            wrong={"no margin": dict(margin=0.0), "scaled": dict(margin=1.4)},
        ),
        Case("nt_xent", "nt_xent", **ntx),
        Case("nt_xent-mask", "nt_xent", **ntx, arrays=dict(mask=MASK, weights=WEIGHTS)),
        tiled("info_nce-targets-tiles", "info_nce", 2, **nce, arrays=dict(targets=soft_targets(), x_mask=MASK, weights=WEIGHTS)),
        tiled(
            "symmetric-margin-groups-tiles",
            "symmetric_info_nce",
            3,
            **sym | dict(static=dict(logit_scale=7.0, margin=0.2)),
            swappable=True,
            arrays=dict(**groups, **both, weights=WEIGHTS),
        ),
        tiled("sigmoid-groups-tiles", "sigmoid_contrastive", 5, **sig, arrays=dict(**groups, **both, weights=WEIGHTS)),
        tiled("nt_xent-mask-tiles", "nt_xent", 3, **ntx, arrays=dict(mask=MASK, weights=WEIGHTS)),
    ]


def tiled(name: str, loss: str, block_size: int, *, oracle, static, **options) -> Case:
    return Case(name, loss, cases_density.untiled(oracle), static=dict(static, block_size=block_size), **options)


def _diffusion() -> list[Case]:
    shared = dict(loss="diffusion_alignment", oracle=diffusion.diffusion_alignment, inputs=("x", "z"), frozen=(0,))
    masked = dict(mask=POINT_MASK, weights=WEIGHTS)

    def case(name, make, arrays=None, **static):
        return Case(f"diffusion-{name}", make=make, static=static, arrays=arrays or {}, **shared)

    return [
        case("neighbourhood", sets),
        case("neighbourhood-raw", sets, masked, normalization="none", operator="markov", alpha=0.5, t=2),
        case("batch", points, form="batch"),
        case("batch-raw", points, dict(mask=MASK), form="batch", normalization="none", bandwidth=1.3, t=3),
        case("row", sets, masked, form="row"),
        case("row-raw", sets, form="row", normalization="none", alpha=0.0),
        case("log", sets, masked, form="log_euclidean"),
        case("log-raw", sets, form="log_euclidean", normalization="none", gamma=1e-4),
    ]


STRUCTURE = cases_structure.cases(Case, points, mask=MASK)
DENSITY = cases_density.cases(Case, mask=MASK)
MIXUP = cases_mixup.cases(Case, rows, mask=MASK)
ANCHORS = cases_anchors.cases(Case, rows, mask=MASK)
GROUNDING = cases_grounding.cases(Case)
HEAT = cases_heat.cases(Case, sets, points, point_mask=POINT_MASK, mask=MASK, weights=WEIGHTS)
TRANSPORT = cases_transport.cases(Case, rows, mask=MASK)
CASES = _contrastive() + _diffusion() + STRUCTURE + DENSITY + MIXUP + ANCHORS + GROUNDING + HEAT + TRANSPORT
BY_NAME = {case.name: case for case in CASES}
# One plain configuration of every loss and form: for contracts where the arguments do not matter.
PLAIN = [
    BY_NAME[n]
    for n in (
        "info_nce",
        "symmetric_info_nce",
        "sigmoid_contrastive",
        "nt_xent",
        "diffusion-neighbourhood",
        "diffusion-batch",
        "diffusion-row",
        "diffusion-log",
        *cases_structure.PLAIN,
        *cases_density.PLAIN,
        *cases_mixup.PLAIN,
        *cases_anchors.PLAIN,
        *cases_grounding.PLAIN,
        *cases_transport.PLAIN,
        "heat-neighbourhood",
        "heat-batch",
    )
]
MASKED = [case for case in CASES if case.masks]


@cache
def oracle_gradient(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of the oracle; constants of the gradient (x, the bandwidth of z) are held still."""
    case = BY_NAME[name]
    base = list(case.data())
    held: dict[str, Any] = case.held(case, *base) if case.held else {}
    if case.loss == "diffusion_alignment":
        form, width = case.static.get("form", "neighbourhood"), case.static.get("bandwidth", "median")
        held["z_eps"] = diffusion.eps_of(base[1], form=form, bandwidth=width, mask=case.arrays.get("mask"))
    step, out = 1e-5, []
    for side in (0, 1):
        grad = np.zeros_like(base[side])
        if side not in case.frozen:
            for index in np.ndindex(grad.shape):
                ends = []
                for sign in (1, -1):
                    moved = [v.copy() for v in base]
                    moved[side][index] += sign * step
                    if "z_eps" in held and case.static.get("form") != "batch":  # one neighbourhood at a time: the others cancel
                        ends.append(_one_set(case, moved, held["z_eps"], index[0]))
                    else:
                        ends.append(case.want(*moved, **held))
                grad[index] = (ends[0] - ends[1]) / (2 * step)
        out.append(grad)
    return out[0], out[1]


def _one_set(case: Case, moved: list[np.ndarray], z_eps: list[float], a: int) -> float:
    """Neighbourhood a's share of the mean."""
    weights, mask = case.arrays.get("weights", np.ones(N)), case.arrays.get("mask", np.ones((N, M), bool))
    mass = float(weights[mask.any(1)].sum())
    one = slice(a, a + 1)
    value = case.want(*(v[one] for v in moved), z_eps=z_eps[one], mask=mask[one], weights=None, reduction="sum")
    return float(weights[a]) / mass * value
