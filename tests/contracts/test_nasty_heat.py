"""The heat-geodesic stress where heat is scarce: -log amplifies exactly the entries that an eigendecomposition rounds away."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.losses import heat_geodesic_stress
from tests.contracts.tools import matches
from tests.oracles import heat

RNG = np.random.default_rng(0)
X, Z = (RNG.normal(size=shape).astype(np.float32).astype(np.float64) for shape in ((3, 6, 4), (3, 6, 2)))


def spread(scale: float) -> np.ndarray:
    """The last point of each neighbourhood far away."""
    x = X.copy()
    x[:, -1] = scale
    return x


NASTY = {
    "two clusters": X + 6.0 * (np.arange(6) > 2)[None, :, None],
    "an outlier": spread(4.0),
    "a far outlier": spread(100.0),
    "equal points": np.tile(X[:, :1], (1, 6, 1)),
    "twins": np.repeat(X[:, ::2], 2, axis=1),
    "long": 1e4 * X,
    "shifted": X + 10,
}


def close(x, **options) -> bool:
    got = heat_geodesic_stress(jnp.asarray(x, "float32"), jnp.asarray(Z, "float32"), **options)
    return matches(got, heat.heat_geodesic_stress(x.astype(np.float32).astype(np.float64), Z, **options), 1e-4)


@pytest.mark.parametrize("name", NASTY)
def test_nasty_values_are_the_oracles(name):
    assert close(NASTY[name])
    got = heat_geodesic_stress(jnp.asarray(NASTY[name], "float32"), jnp.asarray(Z, "float32"))
    assert not matches(got, heat.heat_geodesic_stress(NASTY[name], Z, normalization="none"), 1e-4)


@pytest.mark.parametrize("options", [dict(bandwidth=0.5), dict(bandwidth=0.5, t=0.3)])
def test_scarce_heat_in_float32(options):
    assert close(X, **options)


def test_a_long_time_needs_float64():
    """All heat has spread: distances are the square root of rounding, and the relative form divides by them."""
    assert not close(X, t=20.0)
    low = X.astype(np.float32).astype(np.float64)
    with jax.enable_x64(True):
        got = heat_geodesic_stress(jnp.asarray(low, "float64"), jnp.asarray(Z, "float64"), t=20.0)
    assert matches(got, heat.heat_geodesic_stress(low, Z, t=20.0), 1e-6)
