"""From a `data` block of a config to everything that training needs: features, pairs, unpaired rows, held-out rows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, require_known
from gera_jax.config.blocks import sides
from gera_jax.config.fields import require_fields
from gera_jax.config.schema import DATA, SLOTS, defaults, filled, known_sources
from gera_jax.data import catalog, synthetic
from gera_jax.data.ids import first_ids
from gera_jax.data.load import load_pairs
from gera_jax.data.pairs import Pairs
from gera_jax.data.preprocessing import Features, Preprocessor
from gera_jax.data.tables import Table, load_table

SYNTHETIC = {"sphere": synthetic.sphere, "swiss_roll": synthetic.swiss_roll_pair, "gaussian_mixture": synthetic.gaussian_mixture}
SYNTHETIC_ROWS = 2_000


def complete(config: Mapping, tables: Pairs | tuple[Table, ...] | None = None) -> dict[str, Any]:
    """The block with every field: those given, then the catalog's recommendation, then the defaults.

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
    wanted, remedy = f'"", as {source} has two modalities', 'Leave it empty, or choose a source of three such as "emoji3".'
    require(not third or len(names) == 3 or source == "files", "data.w.name", got=f'"{third}"', wanted=wanted, remedy=remedy)
    split = block["split"]
    split["group_key"] = split["group_key"] or known["split"]["group_key"]
    require_fields(block, DATA, "data")
    got = f'"{source}"' + (" with tables in memory" if tables is not None else " without tables")
    wanted, remedy = (
        '"arrays" together with tables=(x, y) or (x, y, w)',
        'Pass the tables, or set source="files" and x.path, y.path.',
    )
    require((tables is not None) == (source == "arrays"), "data.source", got=got, wanted=wanted, remedy=remedy)
    return block


def open_pairs(block: Mapping, tables: Pairs | tuple[Table, ...] | None = None, *, rows: bool = True) -> Pairs:
    """The pairs of a completed block, named as it names them; with `rows` False files are not read beyond their ids."""
    source, names = block["source"], tuple(block[side]["name"] for side in sides(block))
    if isinstance(tables, Pairs):
        return tables.named(names)
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
    wanted = f"{everything}, or {'neither' if len(used) == 2 else 'none'}"
    require(len(given) in (0, len(used)), "data.test", got=f"a path of {' and '.join(given)} only", wanted=wanted)
    if not given:
        return None
    tables = (_open_file(block["test"][side], f"data.test.{side}", block[side]["name"], rows) for side in used)
    return load_pairs(*tables, captions=block["captions"], look=rows)


def _open_file(file: Mapping, at: str, name: str, rows: bool) -> Table:
    remedy = f"Set --config.{at}.path=..., or choose a bundled data.source: {', '.join(catalog.names())}."
    require(bool(file["path"]), f"{at}.path", got="nothing", wanted="a file of embeddings", remedy=remedy)
    return load_table(file["path"], key=file["key"], ids_key=file["ids"], name=name, layer=file["layer"], rows=rows)


@dataclasses.dataclass(frozen=True, eq=False)
class AlignmentData:
    """Two or three modalities, cut into parts, with their rows preprocessed.

    What is of a modality is by its name; everywhere a row is named by its number in its modality's table.

    Args:
      train: pairs to train on, those of fewer pairs being the first of them, and rows without a partner.
      val, test: pairs to select by and to report; those of own test files have tables of their own.
      preprocessors: fitted on the rows that train, paired and unpaired.
      features: preprocessed rows of the tables of `train`.
      drawn: digest of the row numbers of pairs that no config draws again, or "".
    """

    train: Pairs
    val: Pairs
    test: Pairs
    preprocessors: dict[str, Preprocessor]
    features: dict[str, Features]
    drawn: str = ""

    names = property(lambda self: self.train.names, doc="The M modalities, x, y and where there is one w.")
    pairs = property(lambda self: self.train.rows, doc="[p, M] known training pairs, -1 where an item of three lacks a row.")
    tables = functools.cached_property(lambda self: self._by_name(self.train.tables))
    pool = functools.cached_property(lambda self: self._by_name(self.train.pool))
    unpaired = functools.cached_property(lambda self: self._by_name(self.train.unpaired))
    groups = functools.cached_property(lambda self: self._by_name(self.train.groups))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hash of each modality's table, of those of own test files, and of the pairs where no config draws them."""
        own = self.test.tables is not self.train.tables
        tests = {f"test/{name}": value for name, value in self._by_name(self.test.fingerprints).items()} if own else {}
        return {**self._by_name(self.train.fingerprints), **tests, **({"pairs": self.drawn} if self.drawn else {})}

    def _by_name(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.names, values, strict=True))


def build_data(config: Mapping, *, tables: Pairs | tuple[Table, ...] | None = None) -> AlignmentData:
    """Load, validate, pair, split and preprocess what a `data` block describes.

    Items of validation and test are in no training pool: neither as pairs, nor unpaired, nor in any statistic. The same
    `split.seed` gives the same parts, and known pairs of which fewer are a prefix of more. Of three modalities an item may lack
    one: it is known by the two that it has.

    Args:
      config: the `data` block (`gera_jax.config.embedding_pair`); fields that are missing are filled in.
        `unpaired`: what of the training items outside of the known pairs is given, see `Pairs.head`. `captions`: several rows
        may share an id; all rows of an item are on one side of the split, sizes of the split count items, and `pairs` counts
        pairs of rows.
      tables: (x, y) or (x, y, w) in memory, or `Pairs`, for `source="arrays"`.

    >>> data = build_data(dict(source="emoji", pairs=100, split=dict(val=150, test=400)))
    >>> data.pairs.shape, len(data.val), len(data.test), {name: len(rows) for name, rows in data.pool.items()}
    ((100, 2), 150, 400, {'image': 598, 'text': 598})
    """
    block = complete(config, tables)
    train, val, test = _parts(block, tables)
    options = {
        name: {
            **block["preprocess"][side],
            "parts": block["preprocess"][side]["parts"] or train.preprocess.get(name, {}).get("parts", []),
        }
        for side, name in zip(sides(block), train.names, strict=True)
    }
    return prepare(train, val, test, preprocess=options, seed=block["split"]["seed"])


def cut(config: Mapping, *, tables: Pairs | tuple[Table, ...] | None = None, rows: bool = True) -> tuple[Pairs, Pairs, Pairs]:
    """The pairs of a `data` block that train, validate and test, as `build_data` takes them.

    Args:
      rows: False = files are not read beyond headers, ids and meta.

    >>> [len(part) for part in cut(dict(source="emoji", pairs=100, split=dict(val=150, test=400)))]
    [100, 150, 400]
    """
    return _parts(complete(config, tables), tables, rows=rows)


def shapes(train: Pairs, val: Pairs, test: Pairs) -> dict[str, tuple[int, ...]]:
    """Shape of each table of the parts of `cut`; of test files under `test/<name>`.

    >>> shapes(*cut(dict(source="emoji"), rows=False))
    {'image': (1646, 1280), 'text': (1646, 384)}
    """
    del val
    own = {f"test/{table.name}": table for table in test.tables if test.tables is not train.tables}
    tables = {**dict(zip(train.names, train.tables, strict=True)), **own}
    return {name: (len(table), int(table.rows.shape[1])) for name, table in tables.items()}


def _parts(block: Mapping, tables: Pairs | tuple[Table, ...] | None, *, rows: bool = True) -> tuple[Pairs, Pairs, Pairs]:
    """What a completed block trains on, validates on and tests on; pairs of own test files have tables of their own."""
    pairs, own_test, split = open_pairs(block, tables, rows=rows), open_test(block, rows=rows), block["split"]
    by_ids = split["by"] == "ids"
    cut = {part: split[f"{part}_ids"] if by_ids else split[part] for part in ("val", "test")}
    if own_test is not None:
        cut["test"] = "" if by_ids else 0
    if cut["val"] is None:
        cut["val"] = "auto"
    train, val, test = pairs.split(**cut, by=split["by"], group_key=split["group_key"], seed=split["seed"])
    if block["pairs"] > len(train):
        wanted = f"at most {len(train)}: there are {len(pairs)} pairs, of which {len(val)} validate and {len(test)} test"
        remedy = f"Set pairs={len(train)} or 0 (all), or lower split.val and split.test."
        fail("data.pairs", got=block["pairs"], wanted=wanted, remedy=remedy)
    train = train.head(block["pairs"] or None, block["unpaired"])
    for name, pool in zip(train.names, train.pool, strict=True):
        remedy = "Raise data.pairs, lower split.val and split.test, or leave this modality out."
        require(len(pool) > 0, name, got="no training row", wanted="at least one", remedy=remedy)
    return train, val, test if own_test is None else _apart(block, train, own_test)


def prepare(train: Pairs, val: Pairs, test: Pairs, *, preprocess: Mapping[str, Mapping], seed: int = 0) -> AlignmentData:
    """The parts of some pairs with their rows preprocessed, from statistics of the training rows alone.

    Args:
      train, val, test: of `Pairs.split`; `test` may be of tables of its own.
      preprocess: options of `Preprocessor` for each modality, by its name.
      seed: which rows are drawn where a statistic is of a sample.

    >>> from gera_jax.data import load_pairs
    >>> train, val, test = load_pairs("emoji").split(val=150, test=400)
    >>> data = prepare(train.head(100), val, test, preprocess=train.preprocess)
    >>> data.features["image"].dim, len(data.unpaired["text"])
    (1280, 498)
    """
    tables, made, features = dict(zip(train.names, train.tables, strict=True)), {}, {}
    for (name, table), pool in zip(tables.items(), train.pool, strict=True):
        made[name] = Preprocessor(**preprocess.get(name, {}), name=name).fit(table.rows, pool, seed=seed)
        features[name] = Features(table, made[name])
    return AlignmentData(train, val, test, made, features)


def _apart(block: Mapping, train: Pairs, test: Pairs) -> Pairs:
    """Pairs of own test files, as wide as the training files and of other items."""
    notes = [f"test files: {line}" for line in test.warnings]
    for side, table, own in zip(sides(block), train.tables, test.tables, strict=True):
        wanted, remedy = f"width {table.dim}, as in the training file", "Embed both files with the same encoder."
        require(own.dim == table.dim, f"data.test.{side}", got=f"width {own.dim}", wanted=wanted, remedy=remedy)
        if table.numbered or own.numbered:
            notes.append(f"test files: {table.name} has no stored ids, so rows that are also in training would not be seen.")
            continue
        shared = np.intersect1d(table.ids.astype(str), own.ids.astype(str))
        got = f"{len(shared)} ids that are in the training file too ({first_ids(shared)})"
        wanted, remedy = "items that training does not see", "Remove them from one of the files."
        require(len(shared) == 0, f"data.test.{side}", got=got, wanted=wanted, remedy=remedy)
    return dataclasses.replace(test, warnings=tuple(notes))
