"""Move an index to a new model without embedding it again: plan, fit the maps, stream the index through one."""

from gera_jax.bridge.fitting import fit
from gera_jax.bridge.folder import Bridge, apply
from gera_jax.bridge.plan import Plan, plan

__all__ = ["Bridge", "Plan", "apply", "fit", "plan"]
