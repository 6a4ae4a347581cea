"""What `train` and `check` were given, as one config: its name or file, the caller's data, the split, and settings.

A method that is no config, such as "auto", gets a config of its own, of which only the data and the split are read.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.aligners.aligner import Aligner
from gera_jax.aligners.kinds import Solver, require_two
from gera_jax.aligners.methods import as_config, find, methods
from gera_jax.aligners.outputs import Score
from gera_jax.config.files import ConfigDict
from gera_jax.data import Pairs, load_pairs
from gera_jax.data.alignment import cut, shapes
from gera_jax.training.evaluate import overview, overview_text

logger = logging.getLogger("gera_jax")
ARGUMENTS = dict(source="clipart", x="", y="", w="", pairs=-1, seed=0)  # of a method that is no config, as configs have them
ROWS = tuple(f"{side}{kind}" for side in config_lib.SLOTS for kind in ("", "_unpaired", "_ids", "_unpaired_ids"))
SPLIT = dict(  # words of every door for the split -> fields of a config
    val="data.split.val",
    test="data.split.test",
    split="data.split.by",
    group_key="data.split.group_key",
    unpaired="data.unpaired",
)


class Opened(NamedTuple):
    """What a door was given.

    Args:
      config: the config with files, split and settings in it.
      tables: the pairs, where they are in memory.
      method: the name of a method that is no config, or "".
      settings: of that method.
    """

    config: ConfigDict
    tables: Pairs | None
    method: str
    settings: dict[str, Any]


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of some arguments is given at all."""
    empty = (type(None), str, bool)
    return {name: value for name, value in values.items() if not isinstance(value, empty) or value}


def configure(
    config: Any = "gera",
    overrides: Mapping[str, str] | None = None,
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    pairs: Any = None,
    captions: bool = False,
    seed: int | None = None,
    **own: Any,
) -> Opened:
    """A config with the caller's data, split and settings in it; the arguments are those of `gera_jax.train`.

    `pairs` is how many known pairs to use (0 = all), or a list or file of them; None = all of own data, else as the config says.

    >>> configure("gera", data="emoji", pairs=50, val=0.1).config.data.split.val
    0.1
    """
    own = given(own)
    for name in own:
        checks.require_known(name, (*ROWS, *SPLIT), "argument")
    rows: dict[str, Any] = {name: own[name] for name in ROWS if name in own}
    listed = not (pairs is None or isinstance(pairs, int))
    checks.require(data is None or not rows, "data", got=f"both data and own tables ({', '.join(rows)})", wanted="one of them")
    tables = None
    on_disk = all(isinstance(value, str | Path) for value in rows.values()) and (not listed or isinstance(pairs, str | Path))
    if (data is not None and not isinstance(data, str)) or not on_disk:
        tables = load_pairs(data) if data is not None else load_pairs(**rows, pairs=pairs if listed else None, captions=captions)
        rows, data, listed = dict.fromkeys(config_lib.SLOTS[: len(tables.names)], "own"), None, False
    arguments: dict[str, Any] = {side: str(rows[side]) for side in config_lib.SLOTS if side in rows}
    fields, settings = dict(overrides or {}), dict(settings or {})
    if data:
        arguments["source"] = data
    fitted = is_fitted(config)
    if not fitted:
        top = {name for name, value in config_lib.base().items() if not hasattr(value, "items")}
        fields = {**{name: str(value) for name, value in settings.items() if "." in name or name in top}, **fields}
        settings = {name: value for name, value in settings.items() if name not in fields}
    if not listed and isinstance(pairs, int):
        arguments["pairs"] = pairs
    elif listed or (rows and "pairs" not in named_in(config)):  # own data: every pair that there is
        arguments["pairs"] = 0
    if fitted:
        made, settings = _of_method(str(config), {**settings, **arguments})
    else:
        made = _of_config(config, {**settings, **arguments})
    block = made.data.to_dict()
    _require_taken(config, block, arguments)
    for field, text in _fields(rows if tables is None else {}, block, own, captions).items():
        config_lib.override(made, field, text)
    if seed is not None:
        made.seed = checks.whole(seed, "seed")
        if "seed" in block.get("split", {}):
            made.data.split.seed = made.seed
    if listed:
        checks.require(
            block.get("source") == "files",
            "pairs",
            got=f'"{pairs}" beside the set {block.get("source")}',
            wanted="how many known pairs to use; 0 = all rows whose ids match",
            remedy="Give --x FILE and --y FILE, of which it lists the pairs.",
        )
        made.data.pair_list = str(pairs)
    if tables is not None:
        _put_in_memory(made, tables)
    for field in fields if fitted else ():
        got, wanted = f"a field of a training, with {config}", "a field of the data block, or seed"
        remedy = "Give settings of the method as --set NAME=VALUE."
        checks.require(field == "seed" or field.startswith("data."), f"--config.{field}", got=got, wanted=wanted, remedy=remedy)
    return Opened(config_lib.load(made, fields), tables, str(config).partition(":")[0] if fitted else "", settings)


def named_in(config: Any) -> set[str]:
    """The arguments that stand behind a config's name."""
    text = config_lib.name_and_argument(config)[1] if isinstance(config, str) else ""
    return {name for name, _ in config_lib.split_arguments(text)}


def is_fitted(config: Any) -> bool:
    """Whether what `train` was given names a method that is fitted without a training.

    >>> is_fitted("auto:source=emoji"), is_fitted("gera:pairs=50")
    (True, False)
    """
    if not isinstance(config, str) or Path(config.partition(":")[0]).suffix in (".py", ".json"):
        return False
    word = config.partition(":")[0]
    if word not in methods():
        return word not in config_lib.names() and ":" in config and isinstance(find(config).kind, Solver)
    return isinstance(methods()[word].kind, Solver)


def _of_config(config: Any, arguments: Mapping[str, Any]) -> ConfigDict:
    got, wanted = f"arguments {sorted(arguments)} beside a config in memory", "a name or a file of a config"
    remedy = "Set its fields: c.data.x.path, c.data.pairs."
    checks.require(not arguments or isinstance(config, str | Path), "config", got=got, wanted=wanted, remedy=remedy)
    return as_config(config_lib.with_arguments(str(config), **arguments) if arguments else config)


def _of_method(config: str, arguments: Mapping[str, Any]) -> tuple[ConfigDict, dict[str, Any]]:
    """A config whose data block is that of the method's arguments, and the other arguments, which are its settings."""
    parts = config_lib.split_arguments(config.partition(":")[2])
    behind = {name: True if text is None else config_lib.literal(text) for name, text in parts}
    if config.partition(":")[0] not in methods():  # "module:name" has no arguments
        behind = {}
    values = {**ARGUMENTS, **behind, **arguments}
    made = config_lib.base()
    made.data = config_lib.own_or_catalog({**values, "pairs": int(values["pairs"])})
    made.seed = int(values["seed"])
    return made, {name: value for name, value in values.items() if name not in ARGUMENTS}


def _require_taken(config: Any, block: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Refuse a config that leaves the caller's data out."""
    for side in set(config_lib.SLOTS) & set(arguments):
        taken = block.get("source") == "files" and (block[side]["path"], block[side]["key"]) == config_lib.path_and_key(
            arguments[side]
        )
        checks.require(
            taken,
            side,
            got=f"{arguments[side]}, which {config} does not read",
            wanted="a config that takes files",
            remedy="Let its get_config use gera_jax.config.own_or_catalog, or set the fields: "
            f"--config.data.source=files --config.data.{side}.path=FILE.",
        )
    for name in {"source", "pairs"} & set(arguments):
        checks.require(
            block.get(name) == arguments[name],
            dict(source="data", pairs="pairs")[name],
            got=f"{arguments[name]}, which {config} does not read",
            wanted="a config that takes it",
            remedy=f"Set the field: --config.data.{name}={arguments[name]}.",
        )


def _fields(rows: Mapping[str, Any], block: Mapping[str, Any], own: Mapping[str, Any], captions: bool) -> dict[str, str]:
    """Dotted fields for ids, unpaired rows and the split."""
    found = {field: str(own[word]) for word, field in SPLIT.items() if word in own}
    found |= {"data.captions": "True"} if captions else {}
    for side in config_lib.SLOTS:
        for at, path, ids in ((f"data.{side}", side, f"{side}_ids"), (f"data.unpaired_rows.{side}", f"{side}_unpaired", "")):
            ids = ids or f"{path}_ids"
            there = path in rows or (path == side and block.get(side, {}).get("path"))
            wanted, remedy = "ids beside the file that they are of", f"Give --{path.replace('_', '-')} FILE too."
            checks.require(ids not in rows or there, ids, got=f'"{rows.get(ids)}" without {path}', wanted=wanted, remedy=remedy)
            found |= {f"{at}.ids": str(rows[ids])} if ids in rows else {}
            if path in rows and path != side:
                found |= dict(zip((f"{at}.path", f"{at}.key"), config_lib.path_and_key(str(rows[path])), strict=True))
    return found


def _put_in_memory(made: ConfigDict, tables: Pairs) -> None:
    """A config of `tables`, which it does not hold, and of what is recommended for them."""
    from gera_jax.aligners.kinds import merged
    from gera_jax.data.preprocessing import OPTIONS

    made.data.source = "arrays"
    sides = config_lib.sides(made.data)
    checks.require(
        len(sides) == len(tables.names), "data", got=f"{len(tables.names)} modalities", wanted=f"{len(sides)}, as the config has"
    )
    for side, name in zip(sides, tables.names, strict=True):
        made.data[side].update(path="", key="", ids="")
        block = made.data.preprocess[side]
        block.update(merged(block.to_dict(), {**OPTIONS, **tables.preprocess.get(name, {})}, None))


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A method that was fitted as a config is trained.

    Attributes:
      aligner: the fitted method.
      parts: the pairs that trained ("train") and those that were held out of it ("val", "test").
      seconds: of the fit.
    """

    aligner: Aligner
    parts: Mapping[str, Pairs]
    seconds: float

    best_step: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the modalities."""
        return self.aligner.names

    @property
    def overview(self) -> dict[str, Any]:
        """What was fitted on, in counts."""
        return overview(**self.parts)

    def __str__(self) -> str:
        return f"fitted in {self.seconds:.1f} s"

    @property
    def splits(self) -> list[str]:
        """Those of "val" and "test" that hold enough to be measured."""
        return [name for name in ("val", "test") if len(self.parts[name]) > 1]

    def evaluate(self, split: str = "test") -> Score:
        """Metrics on held-out pairs, which nothing was chosen on."""
        checks.require_known(split, self.splits, "split")
        return self.aligner.score(self.parts[split])


def _aligner(opened: Opened, sides: int = 2) -> Aligner:
    options = {side: opened.config.data.preprocess[side].to_dict() for side in config_lib.SLOTS[:sides]}
    return Aligner(opened.method, settings=opened.settings or None, preprocess=options, seed=opened.config.seed)


def fit_opened(opened: Opened, folder: str | Path | None = None) -> FitResult:
    """Fit the method that `configure` found on the data that a config of the same arguments would train on.

    Args:
      folder: where the model is saved; the test rows are noted there, so that `evaluate` finds them.

    >>> result = fit_opened(configure("ridge_cca:source=emoji,pairs=50"))
    >>> len(result.parts["train"]), len(result.parts["test"]), result.splits
    (50, 500, ['val', 'test'])
    """
    block = opened.config.data.to_dict()
    aligner = _aligner(opened)
    train, val, test = cut(block, tables=opened.tables)
    logger.info("%s", overview_text(overview(train, val, test)))
    began = time.monotonic()
    aligner.fit(train)
    seconds = time.monotonic() - began
    if folder is not None:
        source = words(block) if opened.tables is None else test.source
        aligner.save(folder, test=dataclasses.replace(test, source=source) if source and len(test) else None)
    return FitResult(aligner, dict(train=train, val=val, test=test), seconds)


def check_opened(opened: Opened) -> dict[str, Any]:
    """Settings of the method, and the headers of the data that it would be fitted on; the keys are those of a config."""
    _aligner(opened)
    train, val, test = cut(opened.config.data.to_dict(), tables=opened.tables, rows=False)
    require_two(train.names, opened.method)
    logger.info("%s", overview_text(overview(train, val, test)))
    tables = {name: list(shape) for name, shape in shapes(train, val, test).items()}
    return dict(tables=tables, steps=0, terms=f"{opened.method}: no training")


def words(block: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a command line that name the data of a block; none where test rows have files of their own."""
    if any(block["test"][side]["path"] for side in config_lib.SLOTS):
        return ()
    if block["source"] not in ("files", "arrays"):
        return ("--data", block["source"])
    found: list[str] = []
    for ending, of in (("", block), ("-unpaired", block["unpaired_rows"])):
        for side in config_lib.SLOTS:
            part, flag = of[side], f"--{side}{ending}"
            if part["path"]:
                found += [flag, ":".join(word for word in (part["path"], part["key"]) if word)]
                found += [f"{flag}-ids", str(part["ids"])] if part["ids"] else []
    found += ["--pairs", block["pair_list"]] if block["pair_list"] else []
    return (*found, *["--captions"] * bool(block["captions"])) if found else ()
