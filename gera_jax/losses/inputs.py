"""Static checks and casts that the losses share; all of it happens at trace time."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.ops.known import known


def compute_dtype(*arrays: Array) -> jnp.dtype:
    """float64 if any array is float64, else float32: half precision and integers are widened.

    >>> compute_dtype(jnp.zeros(2, jnp.bfloat16)) == jnp.float32
    True
    """
    wide = any(jnp.asarray(array).dtype == np.dtype("float64") for array in arrays)
    return np.dtype("float64") if wide else np.dtype("float32")


def check_rank(value: Array, rank: int, name: str) -> None:
    """Raise unless `value` has `rank` axes and holds real numbers."""
    check_real(value, name)
    words = {1: "one axis [n]", 2: "two axes [rows, width]", 3: "three axes [anchors, points, width]"}
    if jnp.ndim(value) != rank:
        remedy = f"Reshape {name}, or wrap the loss in jax.vmap." if jnp.ndim(value) > rank else f"Give {name} its row axis."
        checks.fail(name, got=f"shape {jnp.shape(value)}", wanted=words[rank], remedy=remedy)


def check_real(value: Array, name: str) -> None:
    """Raise for text, objects and complex numbers (a cast would drop their imaginary part), and what JAX has no type for."""
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    fine = any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)) and dtype != np.longdouble
    checks.require(
        fine,
        name,
        got=f"dtype {dtype}",
        wanted="real numbers of at most 64 bits",
        remedy=f"Convert {name} with .astype(np.float32) if that is what it holds.",
    )


def check_shape(value: Array | None, shape: tuple[int, ...], name: str, remedy: str = "") -> None:
    """Raise unless an optional array has exactly `shape`."""
    if value is not None and not hasattr(value, "shape"):
        got = f"a {type(value).__name__}"
        checks.fail(name, got=got, wanted=f"an array of shape {shape}", remedy=f"Pass np.asarray({name}).")
    if value is not None and jnp.shape(value) != shape:
        checks.fail(name, got=f"shape {jnp.shape(value)}", wanted=f"shape {shape}", remedy=remedy)


def check_mask(mask: Array | None, shape: tuple[int, ...], name: str) -> None:
    """Raise unless an optional mask is boolean and of `shape`."""
    check_shape(mask, shape, name, "One boolean per row, True = a real row.")
    if mask is not None and jnp.asarray(mask).dtype != jnp.bool_:
        checks.fail(name, got=f"dtype {jnp.asarray(mask).dtype}", wanted="bool (True = a real row)", remedy=f"Pass {name} > 0.")


def check_pair(x: Array, y: Array, *, paired: bool) -> None:
    """Raise unless x [n, d] and y [m, d] share their width, and their rows where row i matches row i."""
    check_rank(x, 2, "x")
    check_rank(y, 2, "y")
    if jnp.shape(x)[1] != jnp.shape(y)[1]:
        checks.fail(
            "y",
            got=f"width {jnp.shape(y)[1]}",
            wanted=f"the width {jnp.shape(x)[1]} of x",
            remedy="Project both modalities into one shared space first.",
        )
    if paired and jnp.shape(x)[0] != jnp.shape(y)[0]:
        checks.fail(
            "y",
            got=f"{jnp.shape(y)[0]} rows",
            wanted=f"the {jnp.shape(x)[0]} rows of x (row i matches row i)",
            remedy="Pass x_groups and y_groups, or targets where the loss takes them, if rows match otherwise.",
        )


def scalar(value: ArrayLike, dtype: jnp.dtype, name: str, *, positive: bool) -> Array:
    """A scalar of `dtype`; a number known at trace time is checked, a traced one cannot be."""
    if jnp.ndim(value) != 0:
        checks.fail(name, got=f"shape {jnp.shape(value)}", wanted="a scalar")
    numbers_ = known(value)
    if numbers_ is not None:
        number = float(numbers_)
        if not math.isfinite(number) or (positive and number <= 0):
            checks.fail(
                name,
                got=f"{number:g}",
                wanted="a positive finite number" if positive else "a finite number",
                remedy="logit_scale is 1 / temperature." if name == "logit_scale" else "",
            )
    return jnp.asarray(value).astype(dtype)


def not_negative(value: Array | None, name: str, counts: Array | None = None) -> Array | None:
    """`value`, with NaN for what is below 0 where it is traced; known numbers below 0 or NaN raise, except where nothing counts.

    >>> not_negative(jnp.array([1.0, -1.0]), "weights")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: weights: got -1.0 at 1; wanted numbers of at least 0. An entry of 0 leaves a row out.
    """
    if value is None:
        return None
    check_real(value, name)
    given, seen = known(value), True if counts is None else known(counts)
    if given is not None and seen is not None:
        wrong = ~((given >= 0) & np.isfinite(given)) & seen
        if np.any(wrong):
            at = np.argwhere(wrong)[0].tolist()
            checks.fail(
                name,
                got=f"{given[tuple(at)]} at {', '.join(map(str, at))}",
                wanted="numbers of at least 0",
                remedy="An entry of 0 leaves a row out.",
            )
    value = jnp.asarray(value)
    return jnp.where(value >= 0, value, jnp.asarray(jnp.nan, value.dtype)) if jnp.issubdtype(value.dtype, jnp.floating) else value


def spoiled(total: Array, *inputs: Array) -> Array:
    """`total`, or NaN where an input holds NaN or infinity that a comparison may have passed over in silence."""
    for values in inputs:
        total = total + (0 * lax.stop_gradient(values)).sum().astype(total.dtype)
    return total


def check_neighbourhoods(x: Array, z: Array, form: str, mask: Array | None, weights: Array | None) -> None:
    """Raise unless z holds the points of x: one set [b, d] for form "batch", else one neighbourhood an anchor [a, m, d]."""
    rank = 2 if form == "batch" else 3
    check_rank(x, rank, "x")
    check_rank(z, rank, "z")
    points = jnp.shape(x)[:-1]
    if jnp.shape(z)[:-1] != points:
        checks.fail(
            "z",
            got=f"shape {jnp.shape(z)}",
            wanted=f"{points} as the leading axes of x, then any width",
            remedy="Pass the same points after projection.",
        )
    checks.require(math.prod(points) > 0, "x", got=f"shape {jnp.shape(x)}", wanted="at least one point")
    check_mask(mask, points, "mask")
    if form == "batch":
        checks.require(
            weights is None,
            "weights",
            got='weights with form="batch"',
            wanted="no weights (one set, one loss)",
            remedy="Drop weights, or use mask to leave rows out.",
        )
    else:
        check_shape(weights, points[:1], "weights", "One weight per neighbourhood.")
