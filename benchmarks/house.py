"""The size of the house: lines, files and public names by room, and how many files of the project a user's job enters.

    python -m benchmarks.house              # the table of rooms
    python -m benchmarks.house --trips      # and the trips: some minutes
    python -m benchmarks.house --root PATH  # another checkout, for a comparison

A trip is the number of files of `gera_jax/` in which a function is called while the job runs. What runs only because a module is
imported does not count.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def public_names(path: Path) -> list[str]:
    """The words of a module's `__all__`; a star of a table is read as the table's words."""
    tree = ast.parse(path.read_text())
    tables = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found = []
    for item in getattr(tables.get("__all__"), "elts", []):
        inside = tables[item.value.id] if isinstance(item, ast.Starred) and isinstance(item.value, ast.Name) else item
        words = inside.keys if isinstance(inside, ast.Dict) else getattr(inside, "elts", [inside])
        found += [word.value for word in words if isinstance(word, ast.Constant)]
    return found


def rooms(root: Path) -> dict[str, tuple[int, int, int]]:
    """Room -> lines, files, public names."""
    package = root / "gera_jax"
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        room = inside.parts[0] if len(inside.parts) > 1 else "(top)"
        found[room][0] += len(path.read_text().splitlines())
        found[room][1] += 1
        if path.name == "__init__.py" and len(inside.parts) <= 2:
            found[room][2] += len(public_names(path))
    return {room: tuple(numbers) for room, numbers in sorted(found.items())}


@contextmanager
def entered(files: set[str], package: Path):
    """Adds the files of the package in which a function is called; what a module does while it is imported is left out."""
    here = str(package)

    def watcher() -> Callable:
        importing: list[Any] = []  # frames of modules that are being imported in this thread

        def watch(frame: Any, event: str, arg: Any) -> None:
            if event == "call" and frame.f_code.co_name == "<module>":
                importing.append(frame)
            elif event == "return" and importing and importing[-1] is frame:
                importing.pop()
            elif event == "call" and not importing and frame.f_code.co_filename.startswith(here):
                files.add(frame.f_code.co_filename[len(here) + 1 :])

        return watch

    def start(frame: Any, event: str, arg: Any) -> None:  # each thread has its own list
        sys.setprofile(watcher())

    threading.setprofile(start)
    sys.setprofile(watcher())
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def jobs(folder: Path) -> dict[str, Callable[[], Any]]:
    """Name -> a user's job on two small files."""
    import numpy as np

    import gera_jax
    from gera_jax import cli

    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 16)).astype(np.float32)
    y = (x @ rng.normal(size=(16, 12))).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    files = ["--x", str(folder / "x.npy"), "--y", str(folder / "y.npy")]
    sizes = ["--config.data.split.val=40", "--config.data.split.test=60", "--config.total_steps=4"]

    def call(*words: str) -> Callable[[], Any]:
        def run() -> None:
            code = cli.main([*words, "--json"])
            if code:
                raise SystemExit(f"{' '.join(words)}: exit code {code}")

        return run

    def loss() -> float:
        import jax.numpy as jnp

        from gera_jax import losses

        return float(losses.symmetric_info_nce(jnp.asarray(x[:8, :12]), jnp.asarray(y[:8]), logit_scale=10.0))

    return {
        "train --x --y, to metrics": call("train", *files, *sizes, "--pairs", "100", "--workdir", str(folder / "run")),
        "compare, one trained cell": call(
            *("compare", *files, "--methods", "contrastive", "--counts", "50", "--seeds", "1", "--budget", "1", "--jobs", "1"),
            *("--output", str(folder / "compared")),
        ),
        "fit --method auto": call("fit", *files, "--method", "auto", "--output", str(folder / "model")),
        'Aligner("auto").fit': lambda: gera_jax.Aligner("auto").fit(x[:50], y[:50], x[50:], y[50:]),
        'Aligner("ridge_cca").fit': lambda: gera_jax.Aligner("ridge_cca").fit(x[:50], y[:50]),
        "a loss on two arrays": loss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--trips", action="store_true")
    parser.add_argument("--show", action="store_true", help="with --trips: the files of each job")
    args = parser.parse_args()
    found = rooms(args.root)
    print(f"{'room':<14}{'lines':>8}{'files':>7}{'names':>7}")
    for room, (lines, files, names) in found.items():
        print(f"{room:<14}{lines:>8}{files:>7}{names:>7}")
    total = [sum(column) for column in zip(*found.values(), strict=True)]
    print(f"{'all':<14}{total[0]:>8}{total[1]:>7}{total[2]:>7}")
    if not args.trips:
        return
    sys.path.insert(0, str(args.root))
    with tempfile.TemporaryDirectory() as folder:
        for name, job in jobs(Path(folder)).items():
            visited: set[str] = set()
            with entered(visited, args.root / "gera_jax"):
                job()
            print(f"{name:<28}{len(visited):>4} files" + (f": {', '.join(sorted(visited))}" if args.show else ""), flush=True)


if __name__ == "__main__":
    main()
