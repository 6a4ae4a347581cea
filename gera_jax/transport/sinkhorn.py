"""Entropic transport: the plan with given sums that fits scores best."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.ops.numerics import at_least_float32, known
from gera_jax.transport.scaling import Problem, advance, begin, potentials


class Sinkhorn(NamedTuple):
    """What `sinkhorn` returns: log_plan_ij = (f_i + g_j + scores_ij) / epsilon."""

    log_plan: Array  # [n, m]
    f: Array  # [n] potentials of the rows, in units of the scores
    g: Array  # [m] potentials of the columns
    row_error: Array  # scalar, sum_i |sum_j plan_ij - row_mass_i|


def sinkhorn(
    scores: Array,
    *,
    epsilon: ArrayLike,
    row_mass: Array | None = None,
    column_mass: Array | None = None,
    iterations: int = 100,
    tolerance: float = 0.0,
    x_mask: Array | None = None,
    y_mask: Array | None = None,
) -> Sinkhorn:
    """The plan P with given row and column sums that maximises <P, scores> + epsilon H(P), H(P) = -sum P (log P - 1).

    >>> import jax.numpy as jnp
    >>> plan = jnp.exp(sinkhorn(jnp.array([[0.9, 0.1], [0.2, 0.4]]), epsilon=0.5).log_plan)
    >>> print([[f"{p:.4f}" for p in row] for row in plan])  # odds e to 1: (0.9 + 0.4 - 0.1 - 0.2) / (2 epsilon)
    [['0.3655', '0.1345'], ['0.1345', '0.3655']]

    Rows, then columns are scaled in turn, as potentials: f_i = epsilon (log row_mass_i - logsumexp_j (g_j + scores_ij) /
    epsilon), and g alike; as factors of a kernel wherever those stay in range, which is several times faster and takes the same
    steps. Column sums hold to rounding at every epsilon, row sums up to `row_error`. Entries have a relative error of about
    |scores| / epsilon roundings: an epsilon below one rounding of the scores, where the plan tells near scores apart no more, is
    refused where the numbers are known. With tolerance = 0 gradients reach scores, epsilon and the masses through all iterations,
    in reverse mode (`jax.jvp` raises), from the potentials of each: memory n m + iterations (n + m). With a tolerance the number
    of iterations depends on the values, and the result is a constant. `jax.vmap` computes both forms of every step.

    Args:
      scores: [n, m] similarities (for costs pass their negative); -inf is a cell that gets nothing. A row or column of -inf alone
        can have no mass: an error where the numbers are known; traced, it is left out, the others keep their plan, and
        `row_error` counts its mass.
      epsilon: > 0, in units of the scores; small is close to a matching and needs more iterations.
      row_mass: [n] >= 0; None = 1 / n each. A row of mass 0 is a masked row.
      column_mass: [m] >= 0 with the same total as row_mass; None = 1 / m each.
      iterations: rounds at most.
      tolerance: stop once row_error is below it, looked at every 10 rounds; 0 = all iterations.
      x_mask: [n] bool, True = a real row.
      y_mask: [m] bool, True = a real column.

    Returns:
      `Sinkhorn(log_plan [n, m], f [n], g [m], row_error)`, float32 (float64 for float64 scores). Masked rows and columns have the
      potential 0 and a log_plan so low (half of the lowest number) that its exp is 0. O(iterations n m) time, O(n m) memory.

    Raises:
      InputError: for wrong ranks or shapes, no row or column, epsilon <= 0, tolerance < 0, iterations < 1; where the numbers are
        known, for +inf, rows or columns of -inf, masses below 0 or of unequal totals, epsilon below the scores' rounding. NaN in
        the scores, and a traced mass below 0, make the plan NaN.

    Source: Sinkhorn 1964; Cuturi 2013, arXiv 1306.0895; log domain as in Peyre and Cuturi 2019, section 4.4.
    """
    _check(scores, epsilon, row_mass, column_mass, iterations, tolerance, x_mask, y_mask)
    scores = at_least_float32(scores)
    dtype = scores.dtype
    epsilon = jnp.asarray(epsilon).astype(dtype)
    a, x_mask = _masses(row_mass, x_mask, scores.shape[0], dtype)
    b, y_mask = _masses(column_mass, y_mask, scores.shape[1], dtype)
    cells = x_mask[:, None] & y_mask[None, :] & (scores != -jnp.inf)
    x_there, x_mask, y_mask = x_mask, x_mask & cells.any(1), y_mask & cells.any(0)
    floor = jnp.asarray(jnp.finfo(dtype).min / 2, dtype)
    zero = jnp.zeros((), dtype)
    scaled = jnp.where(cells, jnp.where(cells, scores, zero) / epsilon, floor)
    log_a, log_b = (jnp.log(jnp.where(keep, mass, jnp.ones_like(mass))) for mass, keep in ((a, x_mask), (b, y_mask)))

    if tolerance:
        scaled, log_a, log_b, a = lax.stop_gradient((scaled, log_a, log_b, a))
    problem = Problem(scaled, log_a, log_b, x_mask, y_mask)
    u, v = _until(problem, a, x_there, int(iterations), float(tolerance)) if tolerance else potentials(problem, int(iterations))
    some = x_mask.any() & y_mask.any()
    # The last columns as shares: they sum up whatever rounding the potentials have.
    log_plan = jnp.where(cells, jax.nn.log_softmax(scaled + u[:, None], axis=0) + log_b[None, :], floor)
    missed = jnp.where(cells, jnp.exp(log_plan), zero).sum(1) - jnp.where(x_there, a, zero)
    row_error = jnp.where(some, jnp.abs(missed).sum(), zero)
    scale = lax.stop_gradient(epsilon) if tolerance else epsilon
    return Sinkhorn(log_plan, scale * u, scale * v, row_error)


@partial(jax.jit, static_argnums=(3, 4))
def _until(problem: Problem, mass: Array, there: Array, iterations: int, tolerance: float) -> tuple[Array, Array]:
    """Potentials once the rows' sums are near their masses."""

    def error(state):
        # sum_j P_ij = exp(u_i + logsumexp_j (s_ij + v_j)), and the latter is log_a_i minus the next u_i
        sums = jnp.exp(problem.log_a + state.u - problem.rows(state.v))
        zero = jnp.zeros_like(mass)
        return jnp.abs(jnp.where(problem.x_mask, sums, zero) - jnp.where(there, mass, zero)).sum()

    def several(state):
        return advance(problem, state, jnp.minimum(state.count + 10, iterations))

    return lax.while_loop(
        lambda state: (state.count < iterations) & ((state.count == 0) | (error(state) > tolerance)), several, begin(problem)
    )[1:3]


def _masses(mass: Array | None, mask: Array | None, n: int, dtype) -> tuple[Array, Array]:
    """Masses [n], 0 where masked, and the mask with the rows of mass 0 taken out."""
    mask = jnp.ones(n, bool) if mask is None else jnp.asarray(mask)
    if mass is None:
        count = jnp.maximum(mask.sum(), 1).astype(dtype)
        return jnp.where(mask, 1 / count, jnp.zeros((), dtype)), mask
    mass = jnp.where(mask, jnp.asarray(mass).astype(dtype), jnp.zeros((), dtype))
    mass = jnp.where(mass >= 0, mass, jnp.asarray(jnp.nan, dtype))
    return mass, mask & (mass != 0)


def _check(scores, epsilon, row_mass, column_mass, iterations, tolerance, x_mask, y_mask) -> None:
    checks.require(jnp.ndim(scores) == 2, "scores", got=f"shape {jnp.shape(scores)}", wanted="[rows, columns]")
    n, m = jnp.shape(scores)
    checks.require(n > 0 and m > 0, "scores", got=f"shape {(n, m)}", wanted="at least one row and one column")
    for name, value, rows in (
        ("row_mass", row_mass, n),
        ("column_mass", column_mass, m),
        ("x_mask", x_mask, n),
        ("y_mask", y_mask, m),
    ):
        if value is not None:
            checks.require(jnp.shape(value) == (rows,), name, got=f"shape {jnp.shape(value)}", wanted=f"shape ({rows},)")
            got, wanted = f"dtype {jnp.asarray(value).dtype}", "bool (True = a real row)"
            checks.require("mask" not in name or jnp.asarray(value).dtype == jnp.bool_, name, got=got, wanted=wanted)
    width = known(epsilon)
    if width is not None:
        checks.require(bool(np.isfinite(width) and width > 0), "epsilon", got=f"{width:g}", wanted="a positive finite number")
    checks.require(tolerance >= 0, "tolerance", got=f"{tolerance:g}", wanted="at least 0")
    whole = isinstance(iterations, int | np.integer)
    checks.require(
        whole and bool(iterations >= 1), "iterations", got=iterations, wanted="at least 1" if whole else "a whole number"
    )
    values = (scores, row_mass, column_mass, x_mask, y_mask)
    given = [None if value is None else known(value) for value in values]
    if all(value is None or seen is not None for value, seen in zip(values, given, strict=True)):
        _check_numbers(at_least_float32(scores).dtype, width, *given)


def _check_numbers(dtype, epsilon, scores, row_mass, column_mass, x_mask, y_mask) -> None:
    """What only an eager call can see."""
    a = _known_mass("row_mass", row_mass, x_mask, scores.shape[0])
    b = _known_mass("column_mass", column_mass, y_mask, scores.shape[1])
    cells = scores[a > 0][:, b > 0]
    if cells.size == 0:
        return
    got, wanted, remedy = f"a total of {b.sum():g}", f"the total {a.sum():g} of row_mass", "Divide both by their sums."
    checks.require(bool(np.isclose(a.sum(), b.sum(), rtol=1e-3)), "column_mass", got=got, wanted=wanted, remedy=remedy)
    checks.require(not (cells == np.inf).any(), "scores", got="+inf", wanted="finite scores, or -inf where nothing goes")
    for axis, side, mass in ((1, "row", a), (0, "column", b)):
        empty = (cells == -np.inf).all(axis)
        got, wanted = f"-inf alone in {side} {np.flatnonzero(mass)[empty.argmax()]}", "a cell for the mass of each row and column"
        remedy = f"Mask that {side}."
        checks.require(not empty.any(), "scores", got=got, wanted=wanted, remedy=remedy)
    finest = float(jnp.finfo(dtype).eps) * float(np.abs(cells[np.isfinite(cells)]).max(initial=0))
    got, wanted = f"{float(epsilon or 0):g}", f"at least {finest:.2g}, the rounding of these scores in {dtype}"
    remedy = "Raise it, subtract what all scores share, or use float64 (jax.enable_x64)."
    checks.require(epsilon is None or float(epsilon) >= finest, "epsilon", got=got, wanted=wanted, remedy=remedy)


def _known_mass(name: str, mass: np.ndarray | None, mask: np.ndarray | None, count: int) -> np.ndarray:
    keep = np.ones(count, bool) if mask is None else mask
    mass = np.where(keep, 1 / max(keep.sum(), 1) if mass is None else mass, 0.0)
    wrong = ~((mass >= 0) & np.isfinite(mass))
    checks.require(not wrong.any(), name, got=f"{mass[wrong][:1]}", wanted="finite numbers of at least 0")
    return mass
