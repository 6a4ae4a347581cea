"""The config-driven door for methods that are no config: `train --config auto`, on the data and the split of a training."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.aligners.aligner import Aligner
from gera_jax.aligners.kinds import Solver
from gera_jax.aligners.methods import find, methods
from gera_jax.aligners.score import Score
from gera_jax.data import Pairs
from gera_jax.data.alignment import cut

logger = logging.getLogger("gera_jax")
ARGUMENTS = dict(source="clipart", x="", y="", pairs=1_000, seed=0)  # as the configs have them


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
        return {**self.parts["train"].describe(), **{name: len(part) for name, part in self.parts.items()}}

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


def is_fitted(config: Any) -> bool:
    """Whether what `train` was given names a method that is fitted without a training."""
    if not isinstance(config, str) or Path(config.partition(":")[0]).suffix in (".py", ".json"):
        return False
    word = config.partition(":")[0]
    if word not in methods():
        return word not in config_lib.names() and ":" in config and isinstance(find(config).kind, Solver)
    return isinstance(methods()[word].kind, Solver)


def fit_config(
    config: str, folder: str | Path | None = None, *, overrides: Mapping[str, str] | None = None, **own: Any
) -> FitResult:
    """Fit the method that `config` names on the data that a config of the same arguments would train on.

    Args:
      config: "auto", or with arguments "auto:source=emoji,pairs=100,width=512": source, x, y, pairs and seed name the data as for
        every config; any other is a setting of the method.
      folder: where the model is saved; the test rows are noted there, so that `evaluate` finds them.
      overrides: dotted fields of the `data` block, and `seed`.
      **own: files x, y, their ids x_ids, y_ids, and pairs.

    >>> result = fit_config("ridge_cca:source=emoji,pairs=50")
    >>> len(result.parts["train"]), len(result.parts["test"]), result.splits
    (50, 500, ['val', 'test'])
    """
    word, _, argument = config.partition(":")
    if word not in methods():
        word, argument = config, ""
    given = {name: value for name, value in own.items() if name in ARGUMENTS and value not in (None, "")}
    parts = [part.partition("=") for part in config_lib.values.ARGUMENT.findall(argument)]
    settings = {name: config_lib.literal(text) if mark else True for name, mark, text in parts if name not in ARGUMENTS}
    data = {name: text for name, _, text in parts if name in ARGUMENTS}
    arguments = {**ARGUMENTS, **data, **given}
    if arguments["x"] and "pairs" not in {**data, **given}:
        arguments["pairs"] = 0  # all that own files have
    listed = not str(arguments["pairs"]).lstrip("-").isdigit()
    made = config_lib.base()
    made.data = config_lib.own_or_catalog({**arguments, "pairs": 0 if listed else int(arguments["pairs"])})
    made.seed = int(arguments["seed"])
    for side in config_lib.SLOTS:
        if own.get(f"{side}_ids"):
            made.data[side].ids = own[f"{side}_ids"]
    if listed:
        made.data.pair_list = str(arguments["pairs"])
    for field, text in (overrides or {}).items():
        checks.require(
            field == "seed" or field.startswith("data."),
            f"--config.{field}",
            got=f"a field of a training, with {word}",
            wanted="a field of the data block, or seed",
            remedy=f'Give settings of the method behind its name: "{word}:NAME=VALUE".',
        )
        config_lib.override(made, field, text)
    block = made.data.to_dict()
    train, val, test = cut(block)
    for line in str(train).splitlines():
        logger.info("%s", line)
    began = time.monotonic()
    options = {side: block["preprocess"][side] for side in config_lib.SLOTS[: len(train.names)]}
    aligner = Aligner(word, settings=settings or None, preprocess=options, seed=made.seed).fit(train)
    seconds = time.monotonic() - began
    if folder is not None:
        source = words(block)
        aligner.save(folder, test=dataclasses.replace(test, source=source) if source and len(test) else None)
    return FitResult(aligner, dict(train=train, val=val, test=test), seconds)


def words(block: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a command line that name the data of a block; none where test rows have files of their own."""
    if any(block["test"][side]["path"] for side in config_lib.SLOTS):
        return ()
    if block["source"] not in ("files", "arrays"):
        return ("--data", block["source"])
    found: list[str] = []
    for side in config_lib.SLOTS:
        part = block[side]
        if part["path"]:
            found += [f"--{side}", ":".join(word for word in (part["path"], part["key"]) if word)]
            found += [f"--{side}-ids", str(part["ids"])] if part["ids"] else []
    return (*found, *["--captions"] * bool(block["captions"])) if found else ()
