"""Entropic transport: plans and soft assignments with given marginals, in the log domain."""

from gera_jax.transport.multi_assignment import MultiAssignment, multi_assignment
from gera_jax.transport.sinkhorn import Sinkhorn, sinkhorn

__all__ = ["MultiAssignment", "Sinkhorn", "multi_assignment", "sinkhorn"]
