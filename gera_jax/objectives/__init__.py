"""Where names in a config meet functions: the registry, terms and their checks."""

from gera_jax.objectives.registry import LOSSES
from gera_jax.objectives.schedules import schedule
from gera_jax.objectives.term import Rows, Term, build_terms, describe_terms

__all__ = ["LOSSES", "Rows", "Term", "build_terms", "describe_terms", "schedule"]
