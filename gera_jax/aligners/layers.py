"""Which layer of each encoder to align, by how alike they are on known training pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.files import replacing, write_text

MAX_PAIRS = 5_000


def select_layers(
    x: str,
    y: str,
    *,
    x_ids: str = "",
    y_ids: str = "",
    measure: str = "mutual_knn",
    k: int | Literal["rice"] = "rice",
    config: Any = "gera",
    pairs: int | str | None = None,
    max_pairs: int = MAX_PAIRS,
    output: str | Path | None = None,
    plot: str | Path | None = None,
) -> dict[str, Any]:
    """Score every layer of one encoder with every layer of the other, and choose the best pair.

    Only known training pairs are looked at, at most `max_pairs` of them: the rows of validation and test that `config` holds out
    are split off first, exactly as training does.

    Args:
      x, y: FILE or FILE:KEY of an array [n, layers, d], with ids as in training.
      x_ids, y_ids: where their ids are: a column, an array or a file.
      measure: "mutual_knn", "cknna", "cka" or "unbiased_cka".
      k: neighbours of the first two, or "rice" for ceil(2 n^(1/3)).
      config: name, `name:arg=value,...`, or file of the config that is to train on the chosen layers.
      pairs: known pairs to use: how many (0 = all), or a file of them; None = as the config says, else all.
      max_pairs: most pairs that are scored.
      output: where to write the config with the choice, for `gera-jax train --config FILE`.
      plot: where to save the heat map, .svg, .png or .pdf.

    Returns:
      dict of `measure`, `k` (None where it has none), `pairs` (scored), `x_layer`, `y_layer`, `score`, `last` (score of the two
      last layers) and `scores` [layers of x][layers of y].

    Raises:
      InputError: no layer axis, ids that do not meet, an unknown measure, k out of range, or a config without x and y.

    Source: layers by mutual neighbours: Gröger et al. 2025 (STRUCTURE), arXiv 2506.16895.
    """
    from gera_jax.evaluation.similarity import layer_scores, neighbour_count

    checks.require(max_pairs >= 2, "max_pairs", got=max_pairs, wanted="at least 2")
    if output is not None:
        checks.require(checks.place(output, "output").suffix == ".json", "output", got=f'"{output}"', wanted="a .json file")
    if plot is not None:
        checks.require(
            checks.place(plot, "plot").suffix in (".svg", ".png", ".pdf"),
            "plot",
            got=f'"{plot}"',
            wanted="a .svg, .png or .pdf file",
        )
    for name, path in (("output", output), ("plot", plot)):
        if path is not None:
            checks.require_place(path, name)
    c = _with_files(config, dict(x=(x, x_ids), y=(y, y_ids)), pairs)
    layers, known = _known_pairs(c)
    known = known[:max_pairs]
    rows = [
        np.asarray(part[np.sort(index)][np.argsort(np.argsort(index))], np.float32)  # sorted: kind to a memory map
        for part, index in zip(layers, known.T, strict=True)
    ]
    scores = layer_scores(*rows, measure=measure, k=k)
    best = np.unravel_index(int(np.argmax(scores)), scores.shape)
    x_layer, y_layer = (int(v) for v in best)
    c.data.x.layer, c.data.y.layer = str(x_layer), str(y_layer)
    if output is not None:
        write_text(output, config_lib.to_json(c) + "\n")
    if plot is not None:
        from gera_jax.plots import layer_heatmap

        names = (c.data.x.name, c.data.y.name)
        with replacing(plot) as partial:
            layer_heatmap(scores, chosen=(x_layer, y_layer), names=names, measure=measure).savefig(partial)
    local = measure in ("mutual_knn", "cknna")
    return dict(
        measure=measure,
        k=neighbour_count(k, len(known)) if local else None,
        pairs=len(known),
        x_layer=x_layer,
        y_layer=y_layer,
        score=float(scores[best]),
        last=float(scores[-1, -1]),
        scores=scores.tolist(),
    )


def _with_files(config: Any, given: dict[str, tuple[str, str]], pairs: int | str | None) -> Any:
    from gera_jax.aligners.doors import configure

    if isinstance(config, str) and not config.endswith(".json"):
        rows: dict[str, Any] = {side: text for side, (text, _) in given.items()}
        rows |= {f"{side}_ids": ids for side, (_, ids) in given.items()}
        return configure(config, pairs=pairs, **rows).config
    c = config_lib.load(config)  # it holds every field already, and takes no arguments
    c.data.source = "files"
    for side, (text, ids) in given.items():
        path, key = config_lib.path_and_key(text)
        c.data[side].update(path=path, key=key, ids=ids)
    if isinstance(pairs, str):
        c.data.pair_list = pairs
    c.data.pairs = 0 if isinstance(pairs, str) else c.data.pairs if pairs is None else pairs
    return c


def _known_pairs(c: Any) -> tuple[list[np.ndarray], np.ndarray]:
    """All layers of both sides, and the known training pairs [p, 2] as rows of them."""
    from gera_jax.data import Table
    from gera_jax.data.alignment import cut
    from gera_jax.data.tables import load_layers

    tables, layers = [], []
    for side in ("x", "y"):
        block = c.data[side]
        rows, ids = load_layers(block.path, key=block.key, ids_key=block.ids, name=block.name)
        layers.append(rows)
        tables.append(Table(np.asarray(rows[:, -1], np.float32), ids, block.name))
    data = c.data.to_dict()
    data["source"] = "arrays"
    for side in ("x", "y"):
        data[side].update(path="", key="", ids="", layer="")
    return layers, cut(data, tables=tuple(tables))[0].rows
