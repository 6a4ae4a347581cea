"""A named term of the objective: a loss, what goes in, how much it weighs."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from gera_jax import checks
from gera_jax.objectives.registry import LOSSES
from gera_jax.objectives.schedules import schedule

Context = Mapping[str, Any]
TERM_FIELDS = {"fn", "inputs", "weight", "kwargs"}
# What a loss takes besides its data is wired by name where the batch has it, so that a config names only the data.
WIRES = {"x_mask": "mask", "y_mask": "mask", "x_groups": "groups", "y_groups": "groups", "logit_scale": "logit_scale"}


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand `weight(step) * fn(**inputs, **kwargs)` of the objective."""

    name: str
    fn: Callable
    fn_name: str
    inputs: Mapping[str, str]
    kwargs: Mapping[str, Any]
    weight: Callable

    def __call__(self, context: Context, *, axis_name: str | None = None) -> Any:
        """The unweighted value on the arrays of `context`."""
        data = {argument: context[key] for argument, key in self.inputs.items()}
        ordered = [data.pop(name) for name in _positional(self.fn) if name in data]
        return self.fn(*ordered, **data, **self.kwargs, axis_name=axis_name)


def build_terms(losses: Mapping[str, Mapping], available: set[str], *, total_steps: int) -> list[Term]:
    """Checked terms of a config's `losses` block.

    Args:
      losses: term name -> dict(fn=, inputs=, weight=, kwargs=).
      available: keys that the batch and the model offer ("z.image", "neighbours.image", ...).
      total_steps: length of the run, for weights that are schedules.

    Raises:
      InputError: for an unknown loss, field, input or argument (with the nearest known name), a missing argument, or a
        negative weight.
    """
    checks.require(len(losses) > 0, "losses", got="no term", wanted="at least one")
    return [_build_term(name, spec, available, total_steps) for name, spec in losses.items()]


def _build_term(name: str, spec: Mapping, available: set[str], total_steps: int) -> Term:
    where = f"losses.{name}"
    for field in spec:
        checks.require_known(field, TERM_FIELDS, f"field of {where}")
    checks.require_known(spec.get("fn", ""), LOSSES, f"{where}.fn")
    fn = LOSSES[spec["fn"]]
    parameters = inspect.signature(fn).parameters
    inputs, kwargs = dict(spec.get("inputs", {})), dict(spec.get("kwargs", {}))
    for argument, key in inputs.items():
        checks.require_known(argument, parameters, f"{where}.inputs, an argument of {spec['fn']}")
        checks.require_known(key, available, f"{where}.inputs.{argument}")
    for argument in kwargs:
        checks.require_known(argument, set(parameters) - {"axis_name"}, f"{where}.kwargs, an argument of {spec['fn']}")
        checks.require(argument not in inputs, f"{where}.{argument}", got="a value in inputs and in kwargs",
                       wanted="one of the two")
    for argument in _positional(fn):
        checks.require(argument in inputs, f"{where}.inputs", got=f"no {argument}",
                       wanted=f"{spec['fn']}({', '.join(_positional(fn))}, ...)", remedy=f"Known: {sorted(available)}.")
    for argument, key in WIRES.items():
        free = argument in parameters and argument not in inputs and argument not in kwargs
        if free and key in available and "targets" not in inputs:
            inputs[argument] = key
    weight = schedule(spec.get("weight", 1.0), name=f"{where}.weight", total_steps=total_steps)
    return Term(name, fn, spec["fn"], inputs, kwargs, weight)


def _positional(fn: Callable) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, parameter in inspect.signature(fn).parameters.items() if parameter.kind in kinds]


def describe_terms(terms: list[Term], shapes: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    """A table of terms x inputs x shapes x weight; evaluates every term on shapes alone, so faults show in a second."""
    rows = [("term", "loss", "inputs", "weight")]
    for term in terms:
        try:
            jax.eval_shape(lambda context, term=term: term(context), dict(shapes))
        except ValueError as error:
            checks.fail(f"losses.{term.name}", got=str(error), wanted=f"inputs that {term.fn_name} takes",
                        remedy="Look at losses.*.inputs and kwargs.")
        first, last = float(term.weight(0)), float(term.weight(10**9))
        inputs = ", ".join(f"{k}={v} {list(shapes[v].shape)}" for k, v in term.inputs.items())
        rows.append((term.name, term.fn_name, inputs, f"{first:g}" if first == last else f"{first:g} -> {last:g}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
