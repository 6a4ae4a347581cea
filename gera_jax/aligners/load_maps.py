"""Maps that gera_jax exported; this file needs numpy and safetensors alone, and stands in every exported folder.

    from load_maps import load
    maps = load("FOLDER")
    maps["predict_y"](rows)        # [n, dy] float32 for rows [n, dx]; card.json lists the maps

A map is a chain of steps: "affine" is (rows - mean) @ weights + offset, "unit" scales rows to length 1 (a row of zeros stays),
and "kernel" appends exp((rows @ landmarks' - 1) / width), one column for each landmark.
"""

import functools
import json
from pathlib import Path

import numpy as np


def apply(steps, arrays, rows, dtype=np.float64):
    """The rows [n, d'] of a map for rows [n, d]; products are of `dtype`."""
    rows = np.asarray(rows, np.float64)
    for step in steps:
        if step["op"] == "affine":
            rows = (rows - arrays[step["mean"]]).astype(dtype, copy=False) @ arrays[step["weights"]].astype(dtype, copy=False)
            rows += arrays[step["offset"]].astype(dtype, copy=False)
        elif step["op"] == "kernel":
            near = rows @ arrays[step["landmarks"]].T.astype(dtype, copy=False)
            rows = np.concatenate([rows, np.exp((near - 1) / arrays[step["width"]].astype(dtype))], axis=1)
        else:
            length = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows / np.where(length > 0, length, 1)
    return rows.astype(np.float32, copy=False)


def load(folder):
    """Name -> map, of an exported folder."""
    from safetensors.numpy import load_file

    card, arrays = json.loads((Path(folder) / "card.json").read_text()), load_file(Path(folder) / "maps.safetensors")
    return {name: functools.partial(apply, found["steps"], arrays) for name, found in card["maps"].items()}
