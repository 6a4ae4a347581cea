"""The one table of methods: every name that `Aligner`, `fit`, `train` and `compare` take.

>>> list(methods())[:3]
['procrustes', 'ridge_cca', 'asif']

Guests join by `register_method` or by an entry point of the group "gera_jax.methods" in their package. Without either, an object,
a class, or "module:name" stands wherever a name does.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.aligners.kinds import Config, Kind, Settings, Solver, path_of

GROUP = "gera_jax.methods"  # of entry points: name = "package.module:Class"


@dataclasses.dataclass(frozen=True)
class Method:
    """One entry of the table.

    Attributes:
      name, label: for flags and for people.
      kind: how an aligner of it is made.
      settings: that a comparison tries, in this order, the default first.
      published: a method of others, against whose best a comparison takes its paired differences.
      needs_validation: it holds pairs back to choose its best step.
      compared: whether a comparison takes it without being asked.
    """

    name: str
    label: str
    kind: Kind
    settings: Sequence[Settings] = ({},)
    published: bool = True
    compared: bool = True

    @property
    def needs_validation(self) -> bool:
        return isinstance(self.kind, Config)

    @property
    def portable(self) -> bool:
        """Whether another process can make aligners of it: a class typed into a prompt or a notebook stays in its own."""
        target = getattr(self.kind, "target", "")
        return isinstance(target, str) or bool(path_of(target))

    def fit(self, data: Any, settings: Settings, **options: Any) -> Any:
        """A fitted model on the pairs of an `AlignmentData`; see `kinds.Kind`."""
        return self.kind.fit(data, settings, **options)

    def fingerprint(self) -> str:
        """Hash of what the method computes by."""
        return self.kind.fingerprint()


def _solver(name: str, label: str, kind: str, *settings: Settings, published: bool = True) -> Method:
    return Method(name, label, Solver(f"gera_jax.solvers:{kind}"), ({}, *settings), published)


def _config(
    name: str, label: str, *settings: Settings, published: bool = True, spec: str = "", fields: Mapping[str, str] | None = None
) -> Method:
    return Method(name, label, Config(spec or name, fields or {}), ({}, *settings), published)


PLAIN = {f"data.preprocess.{side}.filter.strength": "0.0" for side in ("x", "y")}  # inputs that are not smoothed
RANDOM = "contrastive:start=random"
STEPS, LR, LOW_LR = {"total_steps": 80}, {"optimizer.lr": 1e-3}, {"optimizer.lr": 3e-4}

# A method's own default stands first. Settings that are known to help follow, because a comparison tries only the first few.
TABLE: dict[str, Method] = {
    method.name: method
    for method in (
        _solver("procrustes", "Procrustes", "Procrustes", dict(dim=20), dict(dim=50), dict(dim=100)),
        _solver("ridge_cca", "ridge CCA", "RidgeCCA", *(dict(regularization=r) for r in (0.3, 1.0, 10.0))),
        _solver("asif", "ASIF", "ASIF", *(dict(power=p) for p in (4.0, 2.0, 16.0))),
        _solver("kernel_cca", "kernel CCA", "KernelCCA", dict(landmarks=1000), dict(width=0.5), dict(regularization=0.3)),
        _solver("csa", "CSA", "CSA", dict(dim=20), dict(dim=50), dict(regularization=0.3)),
        _solver(
            "wasserstein_procrustes",
            "Wasserstein Procrustes",
            "WassersteinProcrustes",
            dict(pair_mass=5.0),
            dict(dim=50, pair_mass=5.0),
            dict(dim=20),
        ),
        _solver("sue", "SUE", "SUE", dict(components=60, dim=16), dict(components=100, dim=32), dict(residual=False)),
        _config("contrastive_linear", "contrastive, linear heads", dict(start="ridge_cca"), STEPS, LR, spec=RANDOM, fields=PLAIN),
        _config(
            "contrastive_mlp",
            "contrastive, residual MLP heads",
            STEPS,
            LR,
            LOW_LR,
            spec=RANDOM,
            fields={**PLAIN, "model.head": "residual_mlp"},
        ),
        _config("fusemix", "FuseMix", dict(start="ridge_cca"), dict(head="linear"), {"total_steps": 100}),
        _config("sotalign", "SOTAlign", dict(teacher_ridge=3.0), dict(teacher_ridge=1.0), dict(teacher_ridge=3.0, transport=0.1)),
        _config("structure", "STRUCTURE", dict(structure=100.0), dict(start="random"), dict(rows="all")),
        _config("gentle_clip", "Gentle-CLIP", dict(sets=3.0), dict(sets=0.3), dict(start="random")),
        _config("m3mix", "m3-Mix", dict(head="linear"), dict(within=0.2, across=0.4), LR),
        _config("sspc", "SSPC", dict(structure=0.1), dict(structure=0.01), dict(link="exp")),
        _config("contrastive", "contrastive on smoothed inputs", published=False),
        _config("gera", "GeRA", dict(geometry=3.0), dict(start="random"), dict(geometry=0.3), published=False),
        _solver("auto", "auto", "CotrainedHeads", published=False),
    )
}


def register_method(
    name: str, factory: Callable | str, *, label: str = "", settings: Iterable[Settings] = ({},), published: bool = True
) -> Method:
    """Put a method of one's own into the table, for this process.

    Args:
      name: under which `Aligner`, `fit`, `compare` and the command line know it; one that is taken is refused.
      factory: a class or function that gives an object with `fit(x_pairs, y_pairs[, x, y])` and `transform_x`, `transform_y` or
        `similarity`; or "module:name" of it.
      label: for people; None = the name.
      settings: arguments of the factory that a comparison tries, the default first.
      published: see `Method`.

    >>> from gera_jax.solvers import RidgeCCA
    >>> _ = register_method("my_cca", RidgeCCA, settings=[{}, dict(dim=5)])
    >>> find("my_cca").label, len(find("my_cca").settings)
    ('my_cca', 2)
    >>> del TABLE["my_cca"]
    """
    known = methods().get(name)
    taken = known is not None and known.kind != Solver(factory)
    fine = isinstance(name, str) and name and not set(name) & set(":,=/ ")
    checks.require(bool(fine), "name", got=f'"{name}"', wanted='a word without ":", ",", "=", "/" and blanks')
    checks.require(not taken, "name", got=f'"{name}", which is taken', wanted="a new name")
    tried = [dict(setting) for setting in settings]
    made = Method(name, label or name, Solver(factory), tried or [{}], published)
    if not isinstance(factory, str):
        for setting in made.settings:
            made.kind.check(setting)
    TABLE[name] = made
    return made


@functools.cache
def _installed() -> dict[str, Method]:
    """Methods of other packages, by their entry points; nothing of theirs is imported before it is asked for."""
    found = metadata.entry_points(group=GROUP)
    return {point.name: Method(point.name, point.name, Solver(point.value), compared=False) for point in found}


def methods() -> dict[str, Method]:
    """Every method of the table, and those of installed packages, by name."""
    return {**_installed(), **TABLE}


def method_names() -> list[str]:
    """Every name that `Aligner` takes: the table's, and those of configs.

    >>> "ridge_cca" in method_names(), "gera" in method_names()
    (True, True)
    """
    return list(dict.fromkeys([*methods(), *config_lib.names()]))


def find(method: Any) -> Method:
    """The method of a name, a config, "module:name", a class or an object.

    >>> find("gera:geometry=3").label, find("ridge_cca").needs_validation
    ('GeRA (geometry=3)', False)
    >>> find("ridge_ca")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: method: got "ridge_ca"; wanted a known name. Did you mean "ridge_cca" or "gera"?
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, Mapping) or hasattr(method, "to_dict"):
        return Method("config", "config", Config(method), compared=False)
    if not isinstance(method, str | Path):
        path = path_of(method)
        name = method.__name__ if isinstance(method, type) else type(method).__name__
        wanted = "a name, a config, or an object with fit and transform_x, transform_y or similarity"
        checks.require(callable(method) or hasattr(method, "fit"), "method", got=f"a {name}", wanted=wanted)
        known_by_path = isinstance(method, type) and path
        return Method(path if known_by_path else name, name, Solver(path if known_by_path else method), compared=False)
    text = str(method)
    known = methods()
    word, argument = config_lib.name_and_argument(text)
    if word in known and not argument:
        return known[word]
    if Path(word).suffix in (".py", ".json"):
        return Method(Path(word).stem, text, Config(text), compared=False)
    if word in config_lib.names() or word in known:
        base = known.get(word)
        if base is None:
            return Method(text, text, Config(text), compared=False)
        if not isinstance(base.kind, Config):
            remedy = "Its arguments are settings: settings=dict(...), or --set NAME=VALUE."
            checks.fail("method", got=f'"{text}"', wanted=f'"{word}"', remedy=remedy)
        kind = dataclasses.replace(base.kind, spec=_with_argument(base.kind.spec, argument))
        return Method(text, f"{base.label} ({argument})", kind, compared=False)
    if ":" in text:
        target = checks.named(text)
        return Method(text, getattr(target, "__name__", text), Solver(text), compared=False)
    checks.require_known(word, method_names(), "method")
    raise AssertionError(word)


def as_config(spec: Any) -> Any:
    """The config that a name of the table or of a config, a file, or a ConfigDict means, with its own data.

    >>> as_config("contrastive_mlp:pairs=50").model.head
    'residual_mlp'
    """
    word, argument = config_lib.name_and_argument(spec) if isinstance(spec, str) else ("", "")
    kind = getattr(methods().get(word), "kind", None)
    if not isinstance(kind, Config):
        return config_lib.load(spec)
    return config_lib.load(_with_argument(kind.spec, argument), dict(kind.fields))


def _with_argument(spec: str, argument: str) -> str:
    return f"{spec}{',' if ':' in spec else ':'}{argument}" if argument else spec


def compared(names: Sequence[Any] = ()) -> list[Method]:
    """The methods of these names or objects, each once; () = all that a comparison takes by itself."""
    if not names:
        return [method for method in methods().values() if method.compared]
    found: dict[str, Method] = {}
    for name in names:
        method, number = find(name), 1
        while method.name in found and found[method.name].kind != method.kind:  # two objects of one class
            number += 1
            first = find(name)
            method = dataclasses.replace(first, name=f"{first.name}-{number}", label=f"{first.label}-{number}")
        found[method.name] = method
    return list(found.values())
