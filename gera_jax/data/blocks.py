"""The `data` block of a config: its fields, what is filled in for those that are not set, and where its tables come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gera_jax.checks import require, require_known
from gera_jax.config.blocks import sides
from gera_jax.config.schema import DATA, SLOTS, SPLITS, UNPAIRED, defaults, filled, known_sources
from gera_jax.data import catalog, synthetic
from gera_jax.data.load import load_pairs
from gera_jax.data.pairs import Pairs
from gera_jax.data.tables import Table, load_table, outline_table

SYNTHETIC = {"sphere": synthetic.sphere, "swiss_roll": synthetic.swiss_roll_pair, "gaussian_mixture": synthetic.gaussian_mixture}
SYNTHETIC_ROWS = 2_000


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
    names = SLOTS if source == "files" and third else SLOTS[:2]
    if source in catalog.names():
        entry = catalog.info(source)
        names = entry.names
        known["split"]["group_key"] = entry.group_key
        for side, name in zip(SLOTS, names, strict=False):
            known["preprocess"][side].update(entry.preprocess[name])
    elif source == "arrays" and tables is not None:
        given = tables.tables if isinstance(tables, Pairs) else tables
        names = tuple(table.name for table in given)
        require(len(names) in (2, 3), "tables", got=f"{len(names)} tables", wanted="two or three")
        for side, name in zip(SLOTS, names, strict=False):
            known["preprocess"][side].update(tables.preprocess.get(name, {}) if isinstance(tables, Pairs) else {})
    block = filled(config, known, "data")
    for side, name in zip(SLOTS, names, strict=False):
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


def open_pairs(block: Mapping, tables: Pairs | tuple[Table, ...] | None = None, *, rows: bool = True) -> Pairs:
    """The pairs of a completed block, named as it names them; with `rows` False files are not read beyond their ids."""
    source, names = block["source"], tuple(block[side]["name"] for side in sides(block))
    if isinstance(tables, Pairs):
        named = tuple(dataclasses.replace(table, name=name) for table, name in zip(tables.tables, names, strict=True))
        return tables if tables.names == names else dataclasses.replace(tables, tables=named)
    if source == "files":
        found = tuple(_open_file(block[side], f"data.{side}", block[side]["name"], rows) for side in sides(block))
    elif source == "arrays":
        found = tables
    else:
        found = SYNTHETIC[source](SYNTHETIC_ROWS)[:2] if source in SYNTHETIC else catalog.load(source)
    named = [dataclasses.replace(table, name=name) for table, name in zip(found, names, strict=True)]
    more = {
        f"{side}_unpaired": _open_file(block["unpaired_rows"][side], f"data.unpaired_rows.{side}", block[side]["name"], rows)
        for side in sides(block)
        if block["unpaired_rows"][side]["path"]
    }
    return load_pairs(*named, pairs=block["pair_list"] or None, captions=block["captions"], look=rows, **more)


def open_test(block: Mapping, *, rows: bool = True) -> Pairs | None:
    """The pairs of the test files of a block that has them, else None."""
    used = sides(block)
    given = [side for side in used if block["test"][side]["path"]]
    everything = ", ".join(f"test.{side}.path" for side in used[:-1]) + f" and test.{used[-1]}.path"
    require(
        len(given) in (0, len(used)),
        "data.test",
        got=f"a path of {' and '.join(given)} only",
        wanted=f"{everything}, or {'neither' if len(used) == 2 else 'none'}",
    )
    if not given:
        return None
    tables = (_open_file(block["test"][side], f"data.test.{side}", block[side]["name"], rows) for side in used)
    return load_pairs(*tables, captions=block["captions"], look=rows)


def _open_file(file: Mapping, at: str, name: str, rows: bool) -> Table:
    require(
        bool(file["path"]),
        f"{at}.path",
        got="nothing",
        wanted="a file of embeddings",
        remedy=f"Set --config.{at}.path=..., or choose a bundled data.source: {', '.join(catalog.names())}.",
    )
    act = load_table if rows else outline_table
    return act(file["path"], key=file["key"], ids_key=file["ids"], name=name, layer=file["layer"])


def _check(block: Mapping) -> None:
    require_known(block["unpaired"], UNPAIRED, "data.unpaired")
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
