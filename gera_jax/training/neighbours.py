"""Neighbour tables of the training rows, computed once and kept by what they were made from."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gera_jax import checks, files, graphs
from gera_jax.data.alignment import AlignmentData

logger = logging.getLogger("gera_jax")


def neighbour_table(data: AlignmentData, name: str, graph: Mapping, *, seed: int, cache_dir: Path | None) -> np.ndarray:
    """Rows [N, 1 + knn] of the table of modality `name`: an anchor, then its nearest neighbours among the training rows.

    Args:
      graph: `on` ("features.<name>"), `knn`, `metric`, `max_rows` (a larger pool is thinned to this many, drawn by `seed`,
        since an exact search costs N^2 d).
      cache_dir: folder of the cache, or None.
    """
    pool = data.pool[name]
    if len(pool) > graph["max_rows"]:
        logger.info("graphs.%s: %d of %d training rows, drawn by the seed", name, graph["max_rows"], len(pool))
        pool = np.sort(np.random.default_rng([seed, 7]).choice(pool, graph["max_rows"], replace=False))
    checks.require(
        graph["knn"] < len(pool),
        f"graphs.{name}.knn",
        got=graph["knn"],
        wanted=f"fewer neighbours than the {len(pool)} training rows of {name}",
    )
    rows = data.features[name].take(pool)
    path = None
    if cache_dir is not None:
        key = files.digest(json.dumps([dict(graph), files.digest(rows)], sort_keys=True).encode())
        path = Path(cache_dir) / "graphs" / f"{key}.npz"
        try:
            kept = files.load_npz(path)
            if kept["key"] != key:
                files.damaged(path, "it holds the neighbours of other rows")
            return pool[kept["table"]]
        except FileNotFoundError:
            pass
        except files.DamagedError as error:
            logger.warning("graphs.%s: %s is %s; its neighbours are computed again", name, error.name, error.got)
    indices, _ = graphs.knn(rows, k=graph["knn"], metric=graph["metric"])
    local = np.concatenate([np.arange(len(pool), dtype=np.int32)[:, None], indices], axis=1)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.save_npz(path, {"table": local, "key": np.array(key)})
    return pool[local]
