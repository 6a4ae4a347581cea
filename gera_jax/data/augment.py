"""Numbers drawn once a step and partners to mix with; all by (seed, step).

Nothing here depends on the number of devices: a step's numbers are drawn on the host for the whole batch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gera_jax.checks import require, require_known

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
