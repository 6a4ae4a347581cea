"""Terms of the objective: each is a loss with a name, its inputs and its weight; and numbers that change with the step."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gera_jax import checks, losses

KINDS = {
    "constant": lambda start, end, steps, epoch: optax.constant_schedule(end),
    "linear": lambda start, end, steps, epoch: optax.linear_schedule(start, end, steps),
    "cosine": lambda start, end, steps, epoch: optax.cosine_decay_schedule(start, steps, alpha=end / start if start else 0.0),
    "step": lambda start, end, steps, epoch: optax.join_schedules(
        [optax.constant_schedule(start), optax.constant_schedule(end)], [steps]
    ),
    "inverse_epoch": lambda start, end, steps, epoch: _inverse_epoch(start, epoch),
}
FIELDS = {"kind", "start", "end", "steps", "warmup_steps", "warmup_percent"}
STARTS = {"linear": 0.0, "step": 0.0}  # the others start at 1
ENDS = {"cosine": 0.0}  # the others end at 1


def schedule(value: Any, *, name: str, total_steps: int, steps_per_epoch: int = 1) -> Callable[[Any], Any]:
    """A function of the step from a config's value.

    Args:
      value: a number >= 0, or a dict of `kind`, `start`, `end`, `steps` (default: the whole run) and one of `warmup_steps` and
        `warmup_percent` (of the run, 0 to 100): a linear rise from 0, before which nothing of the kind's own course is
        spent. Kinds: "constant" (`end`), "linear" and "cosine" (`start` to `end` over `steps`), "step" (`start`, 0 unless
        given, before `steps`, which it needs; then `end`) and "inverse_epoch" (`start` / (1 + epoch), epochs from 0).
      name: what errors call it.
      total_steps: length of the run.
      steps_per_epoch: length of an epoch, for "inverse_epoch".

    >>> weight = schedule({"kind": "linear", "start": 0.0, "end": 2.0, "steps": 10}, name="weight", total_steps=100)
    >>> float(weight(5)), float(weight(50))
    (1.0, 2.0)
    >>> halves = schedule({"kind": "inverse_epoch"}, name="weight", total_steps=100, steps_per_epoch=10)
    >>> float(halves(9)), float(halves(10))
    (1.0, 0.5)
    """
    if not isinstance(value, Mapping):
        _require_number(value, name)
        return optax.constant_schedule(float(value))
    for field in value:
        checks.require_known(field, FIELDS, f"field of {name}")
    kind = value.get("kind", "constant")
    checks.require_known(kind, KINDS, f"{name}.kind")
    start, end = value.get("start", STARTS.get(kind, 1.0)), value.get("end", ENDS.get(kind, 1.0))
    _require_number(start, f"{name}.start")
    _require_number(end, f"{name}.end")
    remedy = 'A rise is kind="linear".'
    checks.require(kind != "cosine" or start > 0, f"{name}.start", got=start, wanted="above 0 for a cosine", remedy=remedy)
    _require_number(value.get("steps", 0), f"{name}.steps")
    wanted = "the step from which the weight is `end`"
    checks.require(kind != "step" or value.get("steps", 0) > 0, f"{name}.steps", got=value.get("steps", 0), wanted=wanted)
    warmup = _warmup(value, name, total_steps)
    steps = int(value.get("steps", 0)) or max(1, total_steps - warmup)
    main = KINDS[kind](float(start), float(end), steps, steps_per_epoch)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, float(main(0)), warmup), main], [warmup])


def _inverse_epoch(start: float, steps_per_epoch: int) -> Callable[[Any], Any]:
    def weight(step: Any) -> Any:
        epoch = jnp.asarray(step) // steps_per_epoch
        return jnp.asarray(start, jnp.float32) / (1 + epoch).astype(jnp.float32)

    return weight


def _warmup(value: Mapping, name: str, total_steps: int) -> int:
    """Steps of the linear rise, from the one of two fields that is set."""
    steps, percent = value.get("warmup_steps", 0), value.get("warmup_percent", 0)
    _require_number(steps, f"{name}.warmup_steps")
    _require_number(percent, f"{name}.warmup_percent")
    checks.require(
        not (steps and percent), f"{name}.warmup_steps", got=f"{steps} beside warmup_percent={percent}", wanted="one of the two"
    )
    checks.require(percent <= 100, f"{name}.warmup_percent", got=percent, wanted="a percentage of the run, 0 to 100")
    return int(steps) or round(total_steps * percent / 100)


def _require_number(value: Any, name: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    negative = number and value < 0
    got, remedy = repr(value), "A term that should push the other way is another loss, not a negative weight." if negative else ""
    checks.require(number and 0 <= value < 1e38, name, got=got, wanted="a number of at least 0 that float32 holds", remedy=remedy)


def build_optimizer(config: Mapping, total_steps: int, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
    """Gradient clipping by global norm, then any optimiser of optax, its rate following the schedule.

    Args:
      config: the `optimizer` block (`name`, `lr`, `schedule`, `warmup_steps`, `clip_norm`, `options`).
      total_steps, steps_per_epoch: length of the run and of an epoch.
    """
    checks.require_known(config["name"], optimizers(), "optimizer.name")
    make = getattr(optax, config["name"])
    kind = config["schedule"]
    spec = dict(
        kind=kind, start=config["lr"], end=config["lr"] if kind == "constant" else 0.0, warmup_steps=config["warmup_steps"]
    )
    rate = schedule(spec, name="optimizer.lr", total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    options = config["options"]
    with checks.refusing("optimizer.options", got=options, wanted=f"arguments of optax.{config['name']}"):
        main = make(learning_rate=rate, **options)
    asks_for = checks.refusing("optimizer", got=f"{config['name']} with {options}", wanted="one of gradients and parameters")
    with asks_for, jax.numpy_dtype_promotion("standard"):
        jax.eval_shape(lambda x: main.update(x, main.init(x), x), {"x": jnp.zeros((2, 2))})
    return optax.chain(optax.clip_by_global_norm(config["clip_norm"]), main) if config["clip_norm"] else main


@functools.cache
def optimizers() -> tuple[str, ...]:
    """Names of the optimisers of optax: what takes a learning rate."""
    found = {name: getattr(optax, name) for name in dir(optax) if name.islower() and not name.startswith("_")}
    return tuple(
        name
        for name, make in found.items()
        if callable(make) and not inspect.isclass(make) and "learning_rate" in inspect.signature(make).parameters
    )


Context = Mapping[str, Any]
LOSSES: dict[str, Callable] = {name: getattr(losses, name) for name in losses.__all__}  # what `losses.<term>.fn` may name
TERM_FIELDS = {"fn", "inputs", "weight", "kwargs"}
# Arguments of a loss that are filled in by their name where the batch has them, so that a config names only the data.
WIRES = ("logit_scale",)
TABLE_WIDTH = 130


class Rows(NamedTuple):
    """The mask and the item numbers that belong to the rows of a context key.

    Args:
      mask: key of their mask [n] bool (True = the row exists), or "" where all exist.
      groups: key of their item numbers [n], or "" where each row is an item of its own.
      queue: whether the rows of every step may be pushed to a queue. All keys with this mark have the same n.
    """

    mask: str = ""
    groups: str = ""
    queue: bool = False


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand `weight(step) * fn(**inputs, **masks, **kwargs)` of the objective.

    Args:
      inputs: argument -> context key.
      masks: argument -> keys of masks, all of which a row must be in.
    """

    name: str
    fn: Callable
    fn_name: str
    inputs: Mapping[str, str]
    masks: Mapping[str, tuple[str, ...]]
    kwargs: Mapping[str, Any]
    weight: Callable

    @property
    def keys(self) -> set[str]:
        """Every context key that the term reads."""
        return set(self.inputs.values()) | {key for keys in self.masks.values() for key in keys}

    def __call__(self, context: Context, *, axis_name: str | None = None) -> Any:
        """The unweighted value on the arrays of `context`."""
        data = {argument: context[key] for argument, key in self.inputs.items()}
        data.update({argument: reduce(jnp.logical_and, (context[key] for key in keys)) for argument, keys in self.masks.items()})
        ordered = [data.pop(name) for name in _positional(self.fn) if name in data]
        devices = dict(axis_name=axis_name) if "axis_name" in inspect.signature(self.fn).parameters else {}
        got = f"{self.fn_name}, which takes no axis_name, on several devices"
        wanted = "a loss that gathers the rows of all devices"
        remedy = 'Set parallel="jit", or give it axis_name=None and see gera_jax.ops.collectives.gather_rows.'
        checks.require(bool(devices) or axis_name is None, f"losses.{self.name}", got=got, wanted=wanted, remedy=remedy)
        return self.fn(*ordered, **data, **self.kwargs, **devices)


def register_loss(name: str, fn: Callable) -> None:
    """Let `losses.<term>.fn` of a config name a loss of one's own, for this process.

    A config that is to be read by other processes names it as "module:function" instead, which needs no registration.

    Args:
      fn: data positional, all else keyword-only; a scalar. `<argument>_mask`, `<argument>_groups` and `logit_scale` are given
        where it takes them. With `axis_name` it may run on several devices.

    >>> register_loss("squared_distance", lambda x, y, *, scale=1.0: scale * ((x - y) ** 2).sum(-1).mean())
    >>> find_loss("squared_distance")(jnp.ones((2, 3)), jnp.zeros((2, 3))).item()
    3.0
    >>> del LOSSES["squared_distance"]
    """
    checks.require(callable(fn), "fn", got=f"a {type(fn).__name__}", wanted="a function")
    fine = bool(name) and not set(name) & set(":,=/ ")
    checks.require(fine, "name", got=f'"{name}"', wanted='a word without ":", ",", "=", "/" and blanks')
    checks.require(LOSSES.get(name, fn) is fn, "name", got=f'"{name}", which is taken', wanted="a new name")
    LOSSES[name] = fn


def find_loss(name: Any, where: str = "loss") -> Callable:
    """The loss of a name, or of "module:function"."""
    if isinstance(name, str) and ":" in name:
        found = checks.named(name, where)
        checks.require(callable(found), where, got=f'"{name}", a {type(found).__name__}', wanted="a function")
        return found
    checks.require_known(name, LOSSES, where)
    return LOSSES[name]


def build_terms(
    losses: Mapping[str, Mapping], available: Mapping[str, Rows], *, total_steps: int, steps_per_epoch: int = 1
) -> list[Term]:
    """Checked terms of a config's `losses` block.

    Masks and groups that the config does not name are filled in where the loss takes them. `<a>_mask` and `<a>_groups` are those
    of the input `a`, or of all inputs `..._<a>` if there is no input `a`. `mask` marks the rows that exist in every input.

    Args:
      losses: term name -> dict(fn=, inputs=, weight=, kwargs=).
      available: keys that the batch and the model offer ("z.image", "neighbours.image", ...).
      total_steps, steps_per_epoch: length of the run and of an epoch, for weights that are schedules.
    """
    checks.require(len(losses) > 0, "losses", got="no term", wanted="at least one")
    return [_build_term(name, spec, available, total_steps, steps_per_epoch) for name, spec in losses.items()]


def _build_term(name: str, spec: Mapping, available: Mapping[str, Rows], total_steps: int, steps_per_epoch: int) -> Term:
    where = f"losses.{name}"
    _require_block(spec, where)
    for field in ("inputs", "kwargs"):
        _require_block(spec.get(field, {}), f"{where}.{field}")
    for field in spec:
        checks.require_known(field, TERM_FIELDS, f"field of {where}")
    fn = find_loss(spec.get("fn", ""), f"{where}.fn")
    parameters = inspect.signature(fn).parameters
    inputs, kwargs = dict(spec.get("inputs", {})), dict(spec.get("kwargs", {}))
    for argument, key in inputs.items():
        checks.require_known(argument, parameters, f"{where}.inputs, an argument of {spec['fn']}")
        checks.require_known(key, available, f"{where}.inputs.{argument}")
    for argument in kwargs:
        checks.require_known(argument, set(parameters) - {"axis_name"}, f"{where}.kwargs, an argument of {spec['fn']}")
        checks.require(
            argument not in inputs, f"{where}.{argument}", got="a value in inputs and in kwargs", wanted="one of the two"
        )
    for argument in _positional(fn):
        wanted, remedy = f"{spec['fn']}({', '.join(_positional(fn))}, ...)", f"Known: {sorted(available)}."
        checks.require(argument in inputs, f"{where}.inputs", got=f"no {argument}", wanted=wanted, remedy=remedy)
    free = [argument for argument in parameters if argument not in inputs and argument not in kwargs]
    masks = _masks(fn, free, inputs, available)
    inputs.update(_groups(free, inputs, available))
    inputs.update({argument: argument for argument in free if argument in WIRES and argument in available})
    weight = schedule(spec.get("weight", 1.0), name=f"{where}.weight", total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    return Term(name, fn, spec["fn"], inputs, masks, kwargs, weight)


def _require_block(value: Any, name: str) -> None:
    checks.require(isinstance(value, Mapping), name, got=repr(value), wanted="a block of fields")


def _masks(fn: Callable, free: list[str], inputs: Mapping[str, str], available: Mapping[str, Rows]) -> dict[str, tuple[str, ...]]:
    """The masks of the inputs, by the names of the arguments that take them."""
    wired = {}
    for argument in free:
        if argument == "mask":
            sources = [name for name in _positional(fn) if name in inputs]
        elif argument.endswith("_mask"):
            side = argument.removesuffix("_mask")
            sources = [side] if side in inputs else [name for name in inputs if name.endswith(f"_{side}")]
        else:
            continue
        keys = tuple(dict.fromkeys(mask for name in sources if (mask := available[inputs[name]].mask)))
        if keys:
            wired[argument] = keys
    return wired


def _groups(free: list[str], inputs: Mapping[str, str], available: Mapping[str, Rows]) -> dict[str, str]:
    """Item numbers of the inputs. They are filled in for both sides of a loss, or for none."""
    if "targets" in inputs:
        return {}
    sides = [argument for argument in free if argument.endswith("_groups")]
    found = {side: available[inputs[name]].groups for side in sides if (name := side.removesuffix("_groups")) in inputs}
    return found if found and all(found.values()) else {}


def _positional(fn: Callable) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, parameter in inspect.signature(fn).parameters.items() if parameter.kind in kinds]


def describe_terms(terms: list[Term], shapes: Mapping[str, jax.ShapeDtypeStruct], *, total_steps: int) -> str:
    """Two tables: the terms with loss, weight and inputs, and the shapes of the arrays that they use.

    Every term is evaluated on shapes alone, so that faults show in a second. A weight that changes during the run is shown by
    its first, highest and last value.
    """
    rows = [("term", "loss", "weight", "inputs")]
    for term in terms:
        try:
            jax.eval_shape(lambda context, term=term: term(context), dict(shapes))
        except Exception as error:  # JAX, NumPy and the losses say in many ways that shapes or arguments do not fit
            remedy = "Look at losses.*.inputs and kwargs."
            checks.fail(f"losses.{term.name}", got=str(error), wanted=f"inputs that {term.fn_name} takes", remedy=remedy)
        inputs = {**term.inputs, **{argument: "&".join(keys) for argument, keys in term.masks.items()}}
        named = " ".join(key if argument == key else f"{argument}={key}" for argument, key in inputs.items())
        rows.append((term.name, term.fn_name, _course(term.weight, total_steps), named))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [
        _wrapped("".join(f"{cell:<{width + 2}}" for cell, width in zip(row[:3], widths, strict=True)), row[3].split())
        for row in rows
    ]
    used = sorted({key for term in terms for key in term.keys})
    return "\n".join([*lines, _wrapped("arrays: ", [f"{key} {list(shapes[key].shape)}" for key in used], gap=", ")])


def _wrapped(head: str, words: list[str], *, gap: str = " ") -> str:
    """`head` and the words after it. Lines have at most TABLE_WIDTH letters, or one word, and start right of the head."""
    lines = [""]
    for word in words:
        if lines[-1] and len(head) + len(lines[-1]) + len(gap) + len(word) > TABLE_WIDTH:
            lines.append("")
        lines[-1] += (gap if lines[-1] else "") + word
    return head + (gap.rstrip() + "\n" + " " * len(head)).join(lines)


def _course(weight: Callable, total_steps: int) -> str:
    """The first, the highest and the last value of a weight, such as "0 -> 1 -> 0", without repeats."""
    steps = sorted({round(i * (total_steps - 1) / 50) for i in range(51)})
    values = [float(weight(step)) for step in steps]
    first, last, top = values[0], values[-1], max(values)
    told = [f"{value:.3g}" for value in ((first, top, last) if top > max(first, last) else (first, last))]
    return " -> ".join(value for i, value in enumerate(told) if i == 0 or value != told[i - 1])
