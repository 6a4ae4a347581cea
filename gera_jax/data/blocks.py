"""The `data` block of a config: its fields, what is filled in for those that are not set, and where its tables come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gera_jax.checks import fail, require, require_known
from gera_jax.config.schema import DATA, SLOTS, defaults
from gera_jax.config.sources import known_sources
from gera_jax.data import catalog, synthetic
from gera_jax.data.pairs import REST, Pairs
from gera_jax.data.splits import SPLITS, part_sizes
from gera_jax.data.tables import Table, check_shape, inspect_table, load_table

SYNTHETIC = {"sphere": synthetic.sphere, "swiss_roll": synthetic.swiss_roll_pair, "gaussian_mixture": synthetic.gaussian_mixture}
SYNTHETIC_ROWS = 2_000
SIDES = SLOTS  # the third may be absent: its name is then ""


def sides(block: Mapping) -> tuple[str, ...]:
    """The slots of a completed block that are in use.

    >>> sides(complete(dict(source="emoji"))), sides(complete(dict(source="emoji3")))
    (('x', 'y'), ('x', 'y', 'w'))
    """
    return tuple(side for side in SIDES if block[side]["name"])


def complete(config: Mapping, tables: Pairs | tuple[Table, ...] | None = None) -> dict[str, Any]:
    """The block with every field: those given, then the catalog's recommendation, then the defaults.

    Raises:
      InputError: an unknown field, source or mode (with the nearest known one), or a value of another kind.

    >>> block = complete(dict(source="emoji_speech"))
    >>> block["x"]["name"], block["preprocess"]["x"]["standardize"], block["split"]["group_key"]
    ('speech', True, 'concept')
    """
    if hasattr(config, "to_dict"):  # a ConfigDict is no Mapping, and neither are the blocks inside it
        config = config.to_dict()
    known = defaults(DATA)
    if tables is not None:
        known["source"] = "arrays"
    source = config.get("source", known["source"])
    require_known(source, known_sources(), "data.source")
    third = config.get("w", {}).get("path", "") if isinstance(config.get("w", {}), Mapping) else ""
    names = SIDES if source == "files" and third else SIDES[:2]
    if source in catalog.names():
        entry = catalog.info(source)
        names = entry.names
        known["split"]["group_key"] = entry.group_key
        for side, name in zip(SIDES, names, strict=False):
            known["preprocess"][side].update(entry.preprocess[name])
    elif source == "arrays" and tables is not None:
        given = tables.tables if isinstance(tables, Pairs) else tables
        names = tuple(table.name for table in given)
        require(len(names) in (2, 3), "tables", got=f"{len(names)} tables", wanted="two or three")
        for side, name in zip(SIDES, names, strict=False):
            known["preprocess"][side].update(tables.preprocess.get(name, {}) if isinstance(tables, Pairs) else {})
    block = _merge(config, known, "data")
    for side, name in zip(SIDES, names, strict=False):
        block[side]["name"] = block[side]["name"] or name
    third = block["w"]["name"]
    require(
        not third or len(names) == 3 or source == "files",
        "data.w.name",
        got=f'"{third}"',
        wanted=f'"", as {source} has two modalities',
        remedy='Leave it empty, or choose a source of three such as "emoji3".',
    )
    split = block["split"]
    split["group_key"] = split["group_key"] or known["split"]["group_key"]
    require_known(split["by"], SPLITS, "data.split.by")
    split["by"] = SPLITS[split["by"]]
    _check(block)
    require(
        (tables is not None) == (source == "arrays"),
        "data.source",
        got=f'"{source}"' + (" with tables in memory" if tables is not None else " without tables"),
        wanted='"arrays" together with tables=(x, y) or (x, y, w)',
        remedy='Pass the tables, or set source="files" and x.path, y.path.',
    )
    return block


def open_tables(block: Mapping, tables: Pairs | tuple[Table, ...] | None = None) -> tuple[Table, ...]:
    """The tables of a completed block, named as it names them."""
    source = block["source"]
    if source == "files":
        found = tuple(_open_file(block[side], f"data.{side}", block[side]["name"]) for side in sides(block))
    elif source == "arrays":
        found = tables
    else:
        found = SYNTHETIC[source](SYNTHETIC_ROWS)[:2] if source in SYNTHETIC else catalog.load(source)
    return tuple(
        table if table.name == block[side]["name"] else dataclasses.replace(table, name=block[side]["name"])
        for side, table in zip(sides(block), found, strict=True)
    )


def open_test_tables(block: Mapping) -> tuple[Table, ...] | None:
    """The test tables of a block that has files of its own for them, else None."""
    if not _has_test_files(block):
        return None
    return tuple(_open_file(block["test"][side], f"data.test.{side}", block[side]["name"]) for side in sides(block))


def inspect_data(config: Mapping, *, tables: Pairs | tuple[Table, ...] | None = None) -> dict[str, tuple[int, ...]]:
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
        shapes = {block[side]["name"]: _inspect_file(block[side], f"data.{side}") for side in sides(block)}
    names = list(shapes)
    if _has_test_files(block):
        for side, name in zip(sides(block), names, strict=True):
            shape = _inspect_file(block["test"][side], f"data.test.{side}")
            check_width(f"data.test.{side}", shape[1], shapes[name][1])
            shapes[f"test/{name}"] = shape
    rows = sorted(shapes[name][0] for name in names)
    most = rows[0] if len(names) == 2 else sum(rows) // 2  # a tuple has rows of at least two modalities
    held, split = 0, block["split"]
    if split["by"] == "random" and not block["captions"]:  # else only the rows tell how many items are held out
        held = sum(part_sizes(most, split["val"], 0 if _has_test_files(block) else split["test"]))
    if not block["captions"] and block["pairs"] > most - held:
        fail(
            "data.pairs",
            got=block["pairs"],
            remedy="Lower it, or split.val and split.test.",
            wanted=f"at most {most - held}: there are {most} rows, and {held} validate and test",
        )
    return shapes


def check_width(name: str, got: int, wanted: int) -> None:
    """Raise `InputError` unless a test table is as wide as the training table."""
    require(
        got == wanted,
        name,
        got=f"width {got}",
        wanted=f"width {wanted}, as in the training file",
        remedy="Embed both files with the same encoder.",
    )


def _has_test_files(block: Mapping) -> bool:
    used = sides(block)
    given = [side for side in used if block["test"][side]["path"]]
    everything = ", ".join(f"test.{side}.path" for side in used[:-1]) + f" and test.{used[-1]}.path"
    require(
        len(given) in (0, len(used)),
        "data.test",
        got=f"a path of {' and '.join(given)} only",
        wanted=f"{everything}, or {'neither' if len(used) == 2 else 'none'}",
    )
    return bool(given)


def _open_file(file: Mapping, at: str, name: str) -> Table:
    _require_path(file, at)
    return load_table(file["path"], key=file["key"], ids_key=file["ids"], name=name, layer=file["layer"])


def _inspect_file(file: Mapping, at: str) -> tuple[int, ...]:
    _require_path(file, at)
    shape, dtype = inspect_table(file["path"], file["key"], file["layer"])
    check_shape(at, shape, dtype)
    return tuple(shape)


def _require_path(file: Mapping, at: str) -> None:
    require(
        bool(file["path"]),
        f"{at}.path",
        got="nothing",
        wanted="a file of embeddings",
        remedy=f"Set --config.{at}.path=..., or choose a bundled data.source: {', '.join(catalog.names())}.",
    )


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
    require_known(block["unpaired"], REST, "data.unpaired")
    names = [block[side]["name"] for side in sides(block)]
    twice = [name for name in names if names.count(name) > 1]
    require(
        not twice,
        " and ".join(f"data.{side}.name" for side in sides(block)),
        got=f'"{twice[0] if twice else ""}" twice',
        wanted=f"{'two' if len(names) == 2 else 'three'} names",
        remedy="Name each modality, such as x.name=image, y.name=text.",
    )
    pairs = block["pairs"]
    require(
        isinstance(pairs, int) and not isinstance(pairs, bool) and pairs >= 0,
        "data.pairs",
        got=pairs,
        wanted="a number of known pairs, or 0 for all",
    )
    seed = block["split"]["seed"]
    require(isinstance(seed, int) and seed >= 0, "data.split.seed", got=seed, wanted="a whole number, at least 0")
