"""The names that `losses.<term>.fn` may take: every public function of `gera_jax.losses`."""

from __future__ import annotations

from collections.abc import Callable

from gera_jax import losses

LOSSES: dict[str, Callable] = {name: getattr(losses, name) for name in losses.__all__}
