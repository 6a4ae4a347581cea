"""Random changes of a batch: numbers drawn once a step, partners to mix with, and rows with noise; all by (seed, step).

Nothing here depends on the number of devices: a step's numbers are drawn on the host for the whole batch, and what is drawn
for a row depends on the row's position in the whole batch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.ops.numerics import at_least_float32

DRAW_STREAM, PARTNER_STREAM = 31, 32
DRAWS = {"beta": ("alpha", "beta")}  # kind -> its parameters, all above 0


def check_draw(spec: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A draw's spec with every field: `kind` and the parameters of the kind, each 1 unless given.

    Raises:
      InputError: an unknown kind or field, or a parameter that is not above 0.

    >>> check_draw({"kind": "beta", "alpha": 2.0}, "draws.mix")
    {'kind': 'beta', 'alpha': 2.0, 'beta': 1.0}
    """
    kind = spec.get("kind", "beta")
    require_known(kind, DRAWS, f"{at}.kind")
    for field in spec:
        require_known(field, ("kind", *DRAWS[kind]), f"field of {at}")
    whole = {"kind": kind, **{name: spec.get(name, 1.0) for name in DRAWS[kind]}}
    for name in DRAWS[kind]:
        fine = isinstance(whole[name], int | float) and not isinstance(whole[name], bool) and 0 < whole[name] < math.inf
        require(fine, f"{at}.{name}", got=whole[name], wanted="a number above 0")
    return whole


def draw(spec: Mapping[str, Any], *, seed: int, step: int, name: str) -> np.float32:
    """The number of a step, from the distribution that `spec` names; a function of (seed, step, name) alone.

    Args:
      spec: as `check_draw` returns it: Beta(alpha, beta), in [0, 1], mean alpha / (alpha + beta).
      name: draws of other names are independent.

    >>> spec = check_draw({"alpha": 0.5, "beta": 0.5}, "draws.mix")
    >>> bool(draw(spec, seed=0, step=3, name="mix") == draw(spec, seed=0, step=3, name="mix"))
    True
    """
    rng = np.random.default_rng([seed, DRAW_STREAM, zlib.crc32(name.encode()), step])
    return np.float32(rng.beta(spec["alpha"], spec["beta"]))


def partners(n: int, *, seed: int, step: int) -> np.ndarray:
    """A random permutation [n] of the rows of a whole batch: row i is mixed with row partners[i] (which may be i itself).

    >>> sorted(partners(4, seed=0, step=0).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, PARTNER_STREAM, step]).permutation(n).astype(np.int32)


def disturb(x: jax.Array, key: jax.Array, *, first: Any = 0, noise: float = 0.0, feature_dropout: float = 0.0) -> jax.Array:
    """Rows with Gaussian noise and some features left out: (x + noise rms(x_i) e_i) keep_i / (1 - feature_dropout).

    Args:
      x: [n, d] rows; those of this device under a mapped axis.
      key: the draw of a row is a function of this key and of the row's position in the whole batch alone.
      first: position of the first row in the whole batch (`ops.collectives.row_offset(n, axis_name)`).
      noise: length of the noise relative to the length of the row, about: each entry is N(0, (noise rms)^2), where
        rms^2 = |x_i|^2 / d.
      feature_dropout: share of the entries set to 0, each by itself; the rest is scaled so that the mean stays.

    Returns:
      [n, d] in the dtype of `x`.

    >>> x = jnp.ones((2, 3))
    >>> bool((disturb(x, jax.random.key(0)) == x).all()), bool((disturb(x, jax.random.key(0), noise=0.1) == x).any())
    (True, False)
    """
    if not noise and not feature_dropout:
        return x
    positions = jnp.asarray(first, jnp.uint32) + jnp.arange(len(x), dtype=jnp.uint32)
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, i)))(positions)
    if noise:
        wide = at_least_float32(x)  # the square of a float16 above 255 is inf, below 2e-4 it is 0
        square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
        rms = jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))  # sqrt at 0 has no finite gradient
        x = (wide + noise * rms * jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], wide.dtype))(keys[:, 0])).astype(x.dtype)
    if feature_dropout:
        keep = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - feature_dropout, x.shape[1:]))(keys[:, 1])
        x = jnp.where(keep, x / (1 - feature_dropout), jnp.zeros((), x.dtype))
    return x
