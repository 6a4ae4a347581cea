"""Every loss's value and gradient can be lowered for CPU, CUDA and TPU, which needs none of these devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from tests.contracts.cases import BY_NAME, PLAIN
from tests.contracts.tools import call, cast

PLATFORMS = ("cpu", "cuda", "tpu")
TILES = [case for name, case in BY_NAME.items() if name.endswith("-tiles")]


def lowered(function, *values):
    return jax.export.export(jax.jit(function), platforms=PLATFORMS)(*values)


@pytest.mark.parametrize("case", PLAIN + TILES, ids=lambda c: c.name)
def test_value_and_gradient_lower_for_every_platform(case):
    x, y = (jnp.asarray(v, "float32") for v in case.data())
    arrays = cast(case.arrays, "float32")

    def value(x, y):
        return call(case, x, y, arrays)

    found = lowered(jax.value_and_grad(value, argnums=(0, 1)), x, y)
    assert found.platforms == PLATFORMS
    assert [v.shape for v in found.out_avals] == [(), x.shape, y.shape]


def test_what_one_platform_lacks_is_seen():
    def host_only(x):
        return jax.lax.linalg.schur(x)[0]  # LAPACK's, on CPUs alone

    assert jax.export.export(jax.jit(host_only), platforms=("cpu",))(jnp.eye(2)).platforms == ("cpu",)
    with pytest.raises(RuntimeError, match="schur.*(cuda|tpu)"):
        lowered(host_only, jnp.eye(2))
