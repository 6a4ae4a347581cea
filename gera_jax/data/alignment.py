"""From a `data` block of a config to everything that training needs: features, pairs, unpaired rows, held-out rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, require_known
from gera_jax.config.blocks import sides
from gera_jax.config.schema import DATA, SLOTS, SPLITS, UNPAIRED, defaults, filled, known_sources
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
    return load_table(file["path"], key=file["key"], ids_key=file["ids"], name=name, layer=file["layer"], rows=rows)


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


@dataclasses.dataclass(frozen=True, eq=False)
class AlignmentData:
    """Two or three modalities, cut into parts. Everywhere a row is named by its number in its modality's table.

    Args:
      names: the M modalities, x, y and where there is one w.
      tables: raw rows of each modality; own test files follow behind the training rows.
      features: preprocessed rows of each modality.
      pairs: [p, M] known training pairs (row of x, row of y, ...), -1 where an item of three modalities lacks one; those of
        fewer pairs are the first of these.
      pool: sorted training rows of each modality, paired and unpaired; all that anything is fitted on.
      unpaired: the rows of `pool` that are in no known pair.
      val, test: [v, M] and [t, M] pairs to select by and to report, likewise.
      groups: [n] item number of each row; rows of one item have the same in every modality.
      preprocessors: fitted on `pool`.
      report: counts and warnings, for people.
      fingerprints: hash of each modality's table.
      meta: words of each row of a modality, or None.
    """

    names: tuple[str, ...]
    tables: dict[str, Table]
    features: dict[str, Features]
    pairs: np.ndarray
    pool: dict[str, np.ndarray]
    unpaired: dict[str, np.ndarray]
    val: np.ndarray
    test: np.ndarray
    groups: dict[str, np.ndarray]
    preprocessors: dict[str, Preprocessor]
    report: dict[str, Any]
    fingerprints: dict[str, str]
    meta: dict[str, list[dict[str, Any]] | None]


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
    return prepare(train, val, test, preprocess=options, seed=block["split"]["seed"], source=block["source"])


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
        fail(
            "data.pairs",
            got=block["pairs"],
            wanted=f"at most {len(train)}: there are {len(pairs)} pairs, of which {len(val)} validate and {len(test)} test",
            remedy=f"Set pairs={len(train)} or 0 (all), or lower split.val and split.test.",
        )
    train = train.head(block["pairs"] or None, block["unpaired"])
    for name, pool in zip(train.names, train.pool, strict=True):
        require(
            len(pool) > 0,
            name,
            got="no training row",
            wanted="at least one",
            remedy="Raise data.pairs, lower split.val and split.test, or leave this modality out.",
        )
    return train, val, test if own_test is None else _apart(block, train, own_test)


def prepare(
    train: Pairs, val: Pairs, test: Pairs, *, preprocess: Mapping[str, Mapping], seed: int = 0, source: str = "arrays"
) -> AlignmentData:
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
    if test.tables is not train.tables:
        train, test = _stack(train, test)

    def by_name(values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(train.names, values, strict=True))

    tables, pool, unpaired = by_name(train.tables), by_name(train.pool), by_name(train.unpaired)
    made = {name: Preprocessor(**preprocess.get(name, {}), name=name) for name in train.names}
    preprocessors = {name: made[name].fit(tables[name].rows, pool[name], seed=seed) for name in train.names}
    features = {name: Features(tables[name], preprocessors[name]) for name in train.names}
    report: dict[str, Any] = dict(source=source, paired_by=train.paired_by, meet=train.describe()["meet"], chosen=train.chosen)
    report |= dict(pairs=len(train), val=len(val), test=len(test))
    for name in train.names:
        report |= {
            f"{name}/rows": len(tables[name]),
            f"{name}/pool": len(pool[name]),
            f"{name}/unpaired": len(unpaired[name]),
            f"{name}/width": tables[name].dim,
            f"{name}/features": features[name].dim,
            f"{name}/explained_variance": preprocessors[name].explained_variance,
        }
    return AlignmentData(
        names=train.names,
        tables=tables,
        features=features,
        pairs=train.rows,
        pool=pool,
        unpaired=unpaired,
        val=val.rows,
        test=test.rows,
        groups=by_name(train.groups),
        preprocessors=preprocessors,
        report={**report, "warnings": list(train.warnings)},
        fingerprints=by_name(train.fingerprints),
        meta={name: table.meta for name, table in tables.items()},
    )


def _apart(block: Mapping, train: Pairs, test: Pairs) -> Pairs:
    """Pairs of own test files, as wide as the training files and of other items."""
    notes = [f"test files: {line}" for line in test.warnings]
    for side, table, own in zip(sides(block), train.tables, test.tables, strict=True):
        require(
            own.dim == table.dim,
            f"data.test.{side}",
            got=f"width {own.dim}",
            wanted=f"width {table.dim}, as in the training file",
            remedy="Embed both files with the same encoder.",
        )
        if table.numbered or own.numbered:
            notes.append(f"test files: {table.name} has no stored ids, so rows that are also in training would not be seen.")
            continue
        shared = np.intersect1d(table.ids.astype(str), own.ids.astype(str))
        require(
            len(shared) == 0,
            f"data.test.{side}",
            got=f"{len(shared)} ids that are in the training file too ({first_ids(shared)})",
            wanted="items that training does not see",
            remedy="Remove them from one of the files.",
        )
    return dataclasses.replace(test, warnings=tuple(notes))


def _stack(train: Pairs, test: Pairs) -> tuple[Pairs, Pairs]:
    """Both parts over the same tables: test rows behind the training rows."""
    offsets = np.array([len(table) for table in train.tables])
    common: dict[str, Any] = dict(
        tables=tuple(stack(*two) for two in zip(train.tables, test.tables, strict=True)),
        groups=tuple(np.concatenate([a, b + len(train.items)]) for a, b in zip(train.groups, test.groups, strict=True)),
        items=np.concatenate([train.items.astype(str), test.items.astype(str)]),
        warnings=train.warnings + test.warnings,
    )
    rows = np.where(test.rows >= 0, test.rows + offsets, -1)
    return dataclasses.replace(train, **common), dataclasses.replace(test, **common, rows=rows)


class StackedRows:
    """Two row arrays as one, [n + m, d], without a copy; indexed by arrays of row numbers or slices."""

    def __init__(self, first: np.ndarray, second: np.ndarray):
        self._first, self._second = first, second
        self.shape = (len(first) + len(second), first.shape[1])
        self.dtype = np.promote_types(first.dtype, second.dtype) if first.dtype != second.dtype else first.dtype
        self.ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        index = np.arange(len(self))[index]
        out = np.empty((*index.shape, self.shape[1]), self.dtype)
        later = index >= len(self._first)
        out[~later] = self._first[index[~later]]
        out[later] = self._second[index[later] - len(self._first)]
        return out


def stack(table: Table, test: Table) -> Table:
    """Training table and own test table as one: test rows follow, so that one row number names any row."""
    meta = None
    if table.meta is not None or test.meta is not None:
        meta = [*(table.meta or [{}] * len(table)), *(test.meta or [{}] * len(test))]
    whole = Table.__new__(Table)  # both halves are checked tables already, and a check would read them from disk
    values = dict(
        rows=StackedRows(table.rows, test.rows),
        name=table.name,
        meta=meta,
        ids=np.concatenate([table.ids.astype(str), test.ids.astype(str)]),
    )
    for field in dataclasses.fields(Table):
        object.__setattr__(whole, field.name, values.get(field.name, getattr(table, field.name)))
    return whole
