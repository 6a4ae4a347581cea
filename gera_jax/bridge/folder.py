"""A fitted bridge: its maps, the folder that holds them, and an index that goes through one of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import files
from gera_jax._version import __version__
from gera_jax.aligners import load_maps
from gera_jax.aligners.export import ARRAYS, CARD, write_folder
from gera_jax.aligners.folder import require_free
from gera_jax.bridge.stream import Applied, stream
from gera_jax.checks import place, require, require_known

DIRECTIONS = dict(
    forward="rows of the old model into the new one's space", backward="rows of the new model into the old one's space"
)


def require_empty(folder: str | Path) -> Path:
    """The folder, or `InputError` where it holds maps, another model or a file; before anything is fitted."""
    folder = place(folder, "output")
    require_free(folder, name="output")
    require(not (folder / CARD).exists(), "output", got=f"{folder}, which holds maps", wanted="an empty folder")
    return folder


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """A chain of steps as `aligners/load_maps.py` runs them, in float32."""

    steps: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def __call__(self, rows: Any) -> np.ndarray:
        """[n, d'] float32 for rows [n, d]."""
        return load_maps.apply(self.steps, self.arrays, rows, np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Bridge:
    """The maps of both directions, and a card: widths, numbers of rows, what was chosen and its held-out error.

    Attributes:
      forward: rows of the old model -> rows in the new model's space, where new queries search.
      backward: rows of the new model (queries) -> rows in the old model's space, where the index is as it was.
    """

    forward: Map
    backward: Map
    card: dict[str, Any]

    def __str__(self) -> str:
        told = self.card
        seen = f"{told['pairs']:,} pairs, {told['index']:,} rows of the index, {told['queries']:,} queries"
        return "\n".join(
            [f"{told['old_width']} -> {told['new_width']} from {seen}"]
            + [f"{name} ({DIRECTIONS[name]}): {told['maps'][name]['chosen']}" for name in DIRECTIONS]
        )

    def save(self, folder: str | Path) -> None:
        """Write an empty folder: maps.safetensors, card.json and load_maps.py, which needs numpy and safetensors alone.

        Raises:
          InputError: see `require_empty`.
        """
        folder = require_empty(folder)
        arrays, maps = {}, {}
        for name in DIRECTIONS:
            own: Map = getattr(self, name)
            arrays |= {f"{name}.{word}": np.ascontiguousarray(array) for word, array in own.arrays.items()}
            refer = [{k: f"{name}.{v}" if k != "op" else v for k, v in step.items()} for step in own.steps]
            maps[name] = dict(self.card["maps"][name], steps=refer)
        write_folder(folder, arrays, dict(self.card, made_by=f"gera_jax {__version__}", maps=maps))

    @classmethod
    def load(cls, folder: str | Path) -> Bridge:
        """What `save` wrote.

        Raises:
          InputError: a folder that holds no bridge, or arrays that are not those that were written.
        """
        from safetensors.numpy import load_file

        folder = place(folder, "map")
        wanted, remedy = "the folder that `gera-jax bridge fit` wrote", "Run bridge fit first."
        there = (folder / CARD).is_file() and (folder / ARRAYS).is_file()
        require(there, "map", got=f"{folder}, without {CARD} and {ARRAYS}", wanted=wanted, remedy=remedy)
        card = json.loads((folder / CARD).read_text())
        require(set(DIRECTIONS) <= set(card.get("maps", ())), "map", got=f"{folder}, maps of something else", wanted=wanted)
        if card.get("seal") != files.file_seal(folder / ARRAYS):
            files.damaged(folder / ARRAYS, "its digest does not fit the card")
        arrays = load_file(folder / ARRAYS)
        own = {name: {word: array for word, array in arrays.items() if word.startswith(f"{name}.")} for name in DIRECTIONS}
        return cls(*(Map(card["maps"][name]["steps"], own[name]) for name in DIRECTIONS), card)


def apply(
    index: str | Path,
    bridge: Bridge | str | Path,
    output: str | Path,
    *,
    direction: str = "forward",
    ids: str = "",
    progress: bool = False,
) -> Applied:
    """Stream an index through a map into a new file: batch by batch, resumable, whole or absent.

    Args:
      index: FILE or FILE:KEY of rows of the old model (of the new one, backward).
      bridge: a fitted one, or the folder of one.
      output: a new .parquet, .npy or .npz; from parquet to parquet all other columns go along.
      direction: "forward" or "backward".
      ids: where the ids are, as in `load_table`.
      progress: a bar on the error stream.

    Raises:
      InputError: an output that is there, rows of another width, or NaN rows (with their ids).

    >>> import tempfile
    >>> rng = np.random.default_rng(0); old = rng.normal(size=(60, 4)).astype(np.float32)
    >>> bridge = __import__("gera_jax").bridge.fit(old, old[:20] @ rng.normal(size=(4, 6)), old_ids=range(60), new_ids=range(20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/old.npy", old)
    ...     apply(f"{folder}/old.npy", bridge, f"{folder}/new.npy").shape
    (60, 6)
    """
    require_known(direction, DIRECTIONS, "direction")
    made = bridge if isinstance(bridge, Bridge) else Bridge.load(bridge)
    own: Map = getattr(made, direction)
    widths = made.card["old_width"], made.card["new_width"]
    key = files.digest("".join(files.digest(own.arrays[name]) for name in sorted(own.arrays)).encode())
    options = dict(widths=widths if direction == "forward" else widths[::-1], key=key, ids=ids)
    if not progress:
        return stream(index, output, own, **options)
    from tqdm import tqdm

    with tqdm(unit=" rows", unit_scale=True, file=sys.stderr, mininterval=1, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return stream(index, output, own, **options, on_rows=show)
