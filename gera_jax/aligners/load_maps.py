"""Maps that gera_jax exported; this file needs numpy and safetensors alone, and stands in every exported folder.

    from load_maps import load
    maps = load("FOLDER")
    maps["predict_y"](rows)        # [n, dy] float32 for rows [n, dx]; card.json lists the maps

A map is a chain of steps: "affine" is (rows - mean) @ weights + offset, "unit" scales rows to length 1 (a row of zeros stays).
"""

import functools
import json
from pathlib import Path

import numpy as np


def apply(steps, arrays, rows):
    """The rows [n, d'] of a map for rows [n, d], in float64 inside."""
    rows = np.asarray(rows, np.float64)
    for step in steps:
        if step["op"] == "affine":
            rows = (rows - arrays[step["mean"]]) @ arrays[step["weights"]] + arrays[step["offset"]]
        else:
            length = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows / np.where(length > 0, length, 1)
    return rows.astype(np.float32)


def load(folder):
    """Name -> map, of an exported folder."""
    from safetensors.numpy import load_file

    card, arrays = json.loads((Path(folder) / "card.json").read_text()), load_file(Path(folder) / "maps.safetensors")
    return {name: functools.partial(apply, found["steps"], arrays) for name, found in card["maps"].items()}
