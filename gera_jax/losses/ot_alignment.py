"""A student's transport plan of unpaired rows, drawn towards the plan of a teacher."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import check_sets, compute_dtype
from gera_jax.ops.collectives import gather_rows, global_sum, row_offset
from gera_jax.ops.numerics import safe_normalize, sanitize, scalar
from gera_jax.transport import sinkhorn


def ot_alignment(
    x: Array,
    y: Array,
    *,
    x_teacher: Array | None = None,
    y_teacher: Array | None = None,
    epsilon: float = 0.05,
    teacher_epsilon: float = 0.01,
    iterations: int = 100,
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """KL(P* || P) of two entropic transport plans with uniform masses: P* of the teacher's cosines, P of the student's.

    >>> import jax.numpy as jnp
    >>> eye, flat = jnp.eye(3), jnp.ones((3, 3))
    >>> print(f"{ot_alignment(eye, eye, x_teacher=eye, y_teacher=eye, epsilon=0.01):.4f}")
    0.0000
    >>> print(f"{ot_alignment(flat, flat, x_teacher=eye, y_teacher=eye):.4f}")  # log 3
    1.0986

    P maximises <P, K> + epsilon H(P) for K_ij = cos(x_i, y_j), and P* the same of the teachers with teacher_epsilon. The gradient
    with respect to K is (P - P*) / epsilon in closed form, exact where Sinkhorn's algorithm has converged: no gradient goes
    through its iterations, and none reaches the teachers.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, k] the student's rows of one modality; they need no partner in y.
      y: [m, k] the student's rows of the other.
      x_teacher: [n, r] the teacher's rows of the same items, in a space of its own; None (both) = the student's rows, held
        still, so that with a smaller teacher_epsilon its plan becomes sharper.
      y_teacher: [m, r].
      epsilon: > 0, entropy of the student's plan in units of the cosine.
      teacher_epsilon: > 0, of the teacher's; smaller is closer to a matching and needs more iterations.
      iterations: of Sinkhorn's algorithm, for both.

    Returns:
      >= 0; 0 where both plans are the same, as for a student that is its teacher at one epsilon; at most log(min(n, m)) for a
      student without an opinion. 0 if a set is empty. O(n m (k + iterations)) time, O(n m) memory.

    Source: SOTAlign, Roschmann et al., arXiv 2602.23353; the term KLOT. Its text prints the gradient over the teacher's epsilon;
    the derivative, and its code, have the student's. Its code ends with an averaged half-step: this plan is converged.
    """
    check_sets(x, y, x_mask, y_mask)
    missing = "y_teacher" if y_teacher is None else "x_teacher"
    checks.require((x_teacher is None) == (y_teacher is None), missing, got="None", wanted="both teachers, or neither")
    if x_teacher is None:
        x_teacher, y_teacher = lax.stop_gradient((x, y))
    for name, teacher, rows in (("x_teacher", x_teacher, x), ("y_teacher", y_teacher, y)):
        fits, wanted = jnp.ndim(teacher) == 2 and len(teacher) == len(rows), f"[{len(rows)}, width], row i that of the student's"
        checks.require(fits, name, got=f"shape {jnp.shape(teacher)}", wanted=wanted)
    checks.require_width(y_teacher.shape[1], x_teacher.shape[1], "y_teacher", "x_teacher")
    dtype, sides = compute_dtype(x, y), (x_mask, y_mask)
    x, y, x_teacher, y_teacher = (
        safe_normalize(sanitize(rows.astype(dtype), mask))
        for rows, mask in zip((x, y, *lax.stop_gradient((x_teacher, y_teacher))), (*sides, *sides), strict=True)
    )
    x_teacher, y_teacher = gather_rows(x_teacher, axis_name), gather_rows(y_teacher, axis_name)
    masks = [
        gather_rows(jnp.ones(len(rows), bool) if mask is None else mask, axis_name)
        for rows, mask in zip((x, y), sides, strict=True)
    ]
    cosine = jnp.matmul(x, gather_rows(y, axis_name).T, precision="highest")  # of this device's rows with all columns
    wanted = jnp.matmul(x_teacher, y_teacher.T, precision="highest")
    scores = gather_rows(lax.stop_gradient(cosine), axis_name)
    student_width = scalar(epsilon, dtype, "epsilon", positive=True)
    teacher_width = scalar(teacher_epsilon, dtype, "teacher_epsilon", positive=True)
    plans = [
        sinkhorn(seen, epsilon=width, iterations=iterations, x_mask=masks[0], y_mask=masks[1]).log_plan
        for seen, width in ((wanted, teacher_width), (scores, student_width))
    ]
    teacher, student = (jnp.exp(plan) for plan in plans)
    cells = masks[0][:, None] & masks[1][None, :]
    zero = jnp.zeros((), dtype)
    divergence = jnp.where(cells, teacher * (plans[0] - plans[1]), zero).sum(1)
    slope = jnp.where(cells, student - teacher, zero) / student_width
    first = row_offset(len(x), axis_name)
    value, slope = (lax.stop_gradient(lax.dynamic_slice_in_dim(rows, first, len(x))) for rows in (divergence, slope))
    return global_sum(value.sum() + (slope * (cosine - lax.stop_gradient(cosine))).sum(), axis_name)
