"""The `data` block of a config: its fields, what is filled in for those that are not set, and where its tables come from."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from gera_jax.checks import fail, require, require_known
from gera_jax.data import catalog, preprocessing, synthetic
from gera_jax.data.tables import Table, inspect_table, load_table

SYNTHETIC = {"sphere": synthetic.sphere, "swiss_roll": synthetic.swiss_roll_pair,
             "gaussian_mixture": synthetic.gaussian_mixture}
SYNTHETIC_ROWS = 2_000
UNPAIRED = ("independent", "same_set", "none")
SPLITS = ("ratio", "ids", "group")
SIDES = ("x", "y")
_FILE = dict(path="", key="", ids="", layer="")
DEFAULTS: dict[str, Any] = dict(
    source="files",
    x=dict(name="", **_FILE),
    y=dict(name="", **_FILE),
    test=dict(x=_FILE, y=_FILE),
    pairs=0,
    unpaired="independent",
    captions=False,
    split=dict(by="ratio", val=0.1, test=0.2, seed=0, val_ids="", test_ids="", group_key=""),
    # two copies: deepcopy keeps shared objects shared, and filling in one side would change the other
    preprocess=dict(x=copy.deepcopy(preprocessing.OPTIONS), y=copy.deepcopy(preprocessing.OPTIONS)),
)


def known_sources() -> list[str]:
    """Every word that `data.source` may be."""
    return [*catalog.names(), *SYNTHETIC, "files", "arrays"]


def complete(config: Mapping, tables: tuple[Table, Table] | None = None) -> dict[str, Any]:
    """The block with every field: those given, then the catalog's recommendation, then the defaults.

    Raises:
      InputError: an unknown field, source or mode (with the nearest known one), or a value of another kind.

    >>> block = complete(dict(source="emoji_speech"))
    >>> block["x"]["name"], block["preprocess"]["x"]["standardize"], block["split"]["group_key"]
    ('speech', True, 'concept')
    """
    if hasattr(config, "to_dict"):  # a ConfigDict is no Mapping, and neither are the blocks inside it
        config = config.to_dict()
    known = copy.deepcopy(DEFAULTS)
    if tables is not None:
        known["source"] = "arrays"
    source = config.get("source", known["source"])
    require_known(source, known_sources(), "data.source")
    names = SIDES
    if source in catalog.names():
        entry = catalog.info(source)
        names = entry.names
        known["split"]["group_key"] = entry.group_key
        for side, name in zip(SIDES, names, strict=True):
            known["preprocess"][side].update(entry.preprocess[name])
    elif source == "arrays" and tables is not None:
        names = tuple(table.name for table in tables)
    block = _merge(config, known, "data")
    for side, name in zip(SIDES, names, strict=True):
        block[side]["name"] = block[side]["name"] or name
    block["split"]["group_key"] = block["split"]["group_key"] or known["split"]["group_key"]
    _check(block)
    require((tables is not None) == (source == "arrays"), "data.source", got=f'"{source}"' + (
        " with tables in memory" if tables is not None else " without tables"),
        wanted='"arrays" together with tables=(x, y)', remedy='Pass the tables, or set source="files" and x.path, y.path.')
    return block


def open_tables(block: Mapping, tables: tuple[Table, Table] | None = None) -> tuple[Table, Table]:
    """The two tables of a completed block, named as it names them."""
    source = block["source"]
    if source == "files":
        found = tuple(_open_file(block[side], f"data.{side}", block[side]["name"]) for side in SIDES)
    elif source == "arrays":
        found = tables
    else:
        found = SYNTHETIC[source](SYNTHETIC_ROWS)[:2] if source in SYNTHETIC else catalog.load(source)
    return tuple(table if table.name == block[side]["name"] else dataclasses.replace(table, name=block[side]["name"])
                 for side, table in zip(SIDES, found, strict=True))


def open_test_tables(block: Mapping) -> tuple[Table, Table] | None:
    """The test tables of a block that has files of its own for them, else None."""
    if not _has_test_files(block):
        return None
    return tuple(_open_file(block["test"][side], f"data.test.{side}", block[side]["name"]) for side in SIDES)


def inspect_data(config: Mapping, *, tables: tuple[Table, Table] | None = None) -> dict[str, tuple[int, ...]]:
    """Shape of each modality, `<name>` and with own test files `test/<name>`, from the headers of the files alone.

    Raises:
      InputError: whatever is wrong with the block, and files whose headers show that they cannot work.

    >>> inspect_data(dict(source="emoji"))
    {'image': (1646, 1280), 'text': (1646, 384)}
    """
    block = complete(config, tables)
    if block["source"] != "files":
        shapes = {table.name: tuple(table.rows.shape) for table in open_tables(block, tables)}
    else:
        shapes = {block[side]["name"]: _inspect_file(block[side], f"data.{side}") for side in SIDES}
    names = list(shapes)
    if _has_test_files(block):
        for side, name in zip(SIDES, names, strict=True):
            shape = _inspect_file(block["test"][side], f"data.test.{side}")
            check_width(f"data.test.{side}", shape[1], shapes[name][1])
            shapes[f"test/{name}"] = shape
    fewest = min(shapes[name][0] for name in names)
    if not block["captions"] and block["pairs"] > fewest:
        fail("data.pairs", got=block["pairs"], wanted=f"at most the {fewest} rows that there are", remedy="Lower it.")
    return shapes


def check_width(name: str, got: int, wanted: int) -> None:
    """Raise `InputError` unless a test table is as wide as the training table."""
    require(got == wanted, name, got=f"width {got}", wanted=f"width {wanted}, as in the training file",
            remedy="Embed both files with the same encoder.")


def _has_test_files(block: Mapping) -> bool:
    given = [bool(block["test"][side]["path"]) for side in SIDES]
    require(given[0] == given[1], "data.test", got=f"a path of {SIDES[given.index(True)] if any(given) else ''} only",
            wanted="test.x.path and test.y.path, or neither")
    return given[0]


def _open_file(file: Mapping, at: str, name: str) -> Table:
    _require_path(file, at)
    return load_table(file["path"], key=file["key"], ids_key=file["ids"], name=name, layer=file["layer"])


def _inspect_file(file: Mapping, at: str) -> tuple[int, ...]:
    _require_path(file, at)
    return tuple(inspect_table(file["path"], file["key"], file["layer"])[0])


def _require_path(file: Mapping, at: str) -> None:
    require(bool(file["path"]), f"{at}.path", got="nothing", wanted="a file of embeddings",
            remedy=f"Set --config.{at}.path=..., or choose a bundled data.source: {', '.join(catalog.names())}.")


def _merge(given: Mapping, known: Mapping, at: str) -> dict[str, Any]:
    """`known` with the values of `given` in place; a field that `known` lacks is refused."""
    merged = dict(known)
    for field, value in given.items():
        require_known(field, known, f"field of {at}")
        if isinstance(known[field], Mapping):
            require(isinstance(value, Mapping), f"{at}.{field}", got=repr(value), wanted=f"a block with {sorted(known[field])}")
            merged[field] = _merge(value, known[field], f"{at}.{field}")
        else:
            merged[field] = value
    return merged


def _check(block: Mapping) -> None:
    require_known(block["unpaired"], UNPAIRED, "data.unpaired")
    require_known(block["split"]["by"], SPLITS, "data.split.by")
    require(block["x"]["name"] != block["y"]["name"], "data.x.name and data.y.name", got=f'"{block["x"]["name"]}" twice',
            wanted="two names", remedy="Name each modality, such as x.name=image, y.name=text.")
    pairs = block["pairs"]
    require(isinstance(pairs, int) and not isinstance(pairs, bool) and pairs >= 0, "data.pairs", got=pairs,
            wanted="a number of known pairs, or 0 for all")
    seed = block["split"]["seed"]
    require(isinstance(seed, int) and seed >= 0, "data.split.seed", got=seed, wanted="a whole number, at least 0")
