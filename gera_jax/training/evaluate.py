"""What a run works on, in words before it computes, and how good its joint space is on rows that training has not seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from gera_jax import checks, evaluation
from gera_jax.data.alignment import AlignmentData
from gera_jax.data.pairs import Pairs, counted, meeting
from gera_jax.evaluation.split import chance_level, over_pairs, scores_of, split_metrics
from gera_jax.models import TwoTower

KS = (1, 5, 10)


def overview(train: Pairs, val: Pairs, test: Pairs) -> dict[str, Any]:
    """Counts of what trains, validates and tests as plain JSON, from ids alone.

    Returns:
      "rows" and "unpaired" (rows that train without a partner) of each modality; "paired_by" ("id", a "list" of pairs, or
      "position" where no table has ids); "meet", the items that two modalities have; "pairs" that train, validate and test;
      "chosen", how they were drawn; "gallery", the test rows of each modality, and "items", how many items they are of;
      "chance", what guessing scores on them (see `guessing`).

    >>> from gera_jax.data.alignment import cut
    >>> print(overview_text(overview(*cut(dict(source="emoji", pairs=100, split=dict(val=150, test=400))))))
    1,646 rows of image, 1,646 rows of text: 1,646 items have rows of both, found by id
    pairs: 100 train, 150 validate, 400 test; without a partner train 498 rows of image, 498 rows of text
    random split of 1,646 items by seed 0: 150 validate, 400 test
    test gallery: 400 rows of image, 400 rows of text of 400 items; chance: R@1 0.25%, R@5 1.2%, R@10 2.5%, FOSCTTM 0.5
    """
    found = train.describe()
    if test.tables is not train.tables:  # of files of their own
        found["rows"] = {table.name: found["rows"][table.name] + len(table) for table in test.tables}
    gallery = dict(zip(train.names, map(len, test.gallery), strict=True))
    counts = dict(train=len(train), val=len(val), test=len(test))
    return dict(found, pairs=counts, gallery=gallery, items=test.item_count, chance=guessing(test))


def guessing(pairs: Pairs) -> dict[str, float]:
    """What a random order of the gallery scores on average: "mean/R@k" and so on, and "foscttm"; {} without 2 items.

    Of several right rows the best counts, see `evaluation.chance_level`. Three modalities: the mean over their pairs.
    """
    items = [items for _, _, items in pairs.couples() if len(np.unique(items[0])) >= 2]
    found = [chance_level(x_groups=x, y_groups=y, ks=KS) for x, y in items]
    keys = [key for key in found[0] if key.startswith("mean/") or key == "foscttm"] if found else []
    return {key: float(np.mean([one[key] for one in found])) for key in keys}


def overview_text(found: dict[str, Any]) -> str:
    """The lines of an `overview` for people; "paired by position" comes first where it was so."""
    pairs = found["pairs"]
    lines = [
        *meeting(found),
        f"pairs: {pairs['train']:,} train, {pairs['val']:,} validate, {pairs['test']:,} test; "
        f"without a partner train {counted(found['unpaired'])}",
    ]
    lines += [found["chosen"]] if found.get("chosen") else []
    return "\n".join([*lines, gallery_text(found)])


def gallery_text(found: dict[str, Any]) -> str:
    """The last line of `overview_text`: what is ranked, and what guessing scores on it."""
    if not found["chance"]:
        return "test gallery: none, nothing is measured"
    recalls = ", ".join(f"R@{k} {_percent(found['chance'][f'mean/R@{k}'])}" for k in KS)
    gallery = f"test gallery: {counted(found['gallery'])} of {found['items']:,} items"
    return f"{gallery}; chance: {recalls}, FOSCTTM 0.5"


def _percent(share: float) -> str:
    """Two digits, and never an exponent.

    >>> _percent(0.00025), _percent(0.125), _percent(1.0)
    ('0.025%', '12%', '100%')
    """
    return f"{100 * share:.{2 if share < 0.995 else 3}g}%"


BLOCK = 4096


def projector(model: TwoTower) -> Callable[[Any, str, np.ndarray], np.ndarray]:
    """`project(params, name, features [n, d]) -> z [n, dim]` in blocks; compiled once for each size of block."""
    compiled = jax.jit(lambda params, name, rows: model.project(params, name, rows), static_argnums=1)

    def project(params: Any, name: str, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros((0, model.dim), np.float32)
        blocks = [np.asarray(compiled(params, name, rows[i : i + BLOCK])) for i in range(0, len(rows), BLOCK)]
        return np.concatenate(blocks)

    return project


def metric_names(names: Sequence[str]) -> list[str]:
    """The metrics of `alignment_metrics(..., full=False)` that are better the higher they are; ranks are not.

    >>> metric_names(("image", "text"))[-3:]
    ['mean/R@5', 'mean/R@10', 'mean/MRR']
    """
    by_pair = {pair: split_metrics(np.eye(2), names=pair, full=False) for pair in itertools.combinations(names, 2)}
    found = over_pairs(by_pair) if len(names) > 2 else by_pair[tuple(names)]
    return [name for name in found if not name.endswith("_rank")]


def alignment_metrics(
    data: AlignmentData, project: Callable[[str, np.ndarray], np.ndarray], split: str, *, full: bool = True
) -> dict[str, float]:
    """Retrieval both ways, FOSCTTM and the share of neighbourhoods kept, on one split, by `evaluation.split`.

    Of three modalities each pair is measured on the items that have both, under "<a>-<b>/..."; a pair that fewer than two
    items have is left out. "mean/..." and "foscttm" are means over the pairs.

    Args:
      project: (modality name, features) -> unit rows of the joint space.
      full: with FOSCTTM and neighbourhoods; training looks at retrieval alone.
    """
    checks.require_known(split, ("val", "test"), "split")
    pairs: Pairs = getattr(data, split)
    checks.require(len(pairs) > 1, f"data.split.{split}", got=f"{len(pairs)} pairs", wanted="at least 2 to rank among")
    rows, tables = (dict(zip(data.names, found, strict=True)) for found in (pairs.gallery, pairs.tables))
    z = {}
    for name, index in rows.items():
        if not len(index):
            continue
        if full or pairs.tables is not data.train.tables:  # anew, as of rows that come alone, whose last digits may differ
            features = data.preprocessors[name](np.asarray(tables[name].rows[index]))
        else:
            features = data.features[name].take(index)
        z[name] = np.asarray(project(name, features), np.float32)
    by_pair = {}
    for sides, seen, (x_groups, y_groups) in pairs.couples():
        names = (data.names[sides[0]], data.names[sides[1]])
        x, y = (z[name][np.searchsorted(rows[name], index)] for name, index in zip(names, seen, strict=True))
        by_pair[names] = split_metrics(scores_of(x, y), x_groups=x_groups, y_groups=y_groups, names=names, full=full)
    metrics = over_pairs(by_pair) if len(data.names) > 2 else by_pair[data.names]
    if full:
        for name in z:
            raw = np.asarray(tables[name].rows[rows[name]], np.float32)
            k = min(10, len(raw) - 1)
            if k > 0:
                metrics[f"neighbours_kept/{name}"] = evaluation.mutual_knn(raw - raw.mean(0), z[name], k=k)
    return {name: float(value) for name, value in metrics.items()}
