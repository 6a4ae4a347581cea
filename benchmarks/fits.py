"""CPU time and memory of fits at the sizes that people have, of this code against another checkout of it.

    python -m benchmarks.fits --against /path/to/another/checkout
    python -m benchmarks.fits --cases auto_20k ridge_80k

Rows are float32 in memory maps, of widths 1024 and 768, which share 64 hidden numbers. One thread; each fit in a process of its
own, the two checkouts in turn; medians over `--repeats`. Memory is what the process holds at most beside the pages of the maps,
less what it held before the fit. R@10 is of 500 test pairs, to see that the same was fitted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
WIDTHS, HIDDEN, TEST = (1024, 768), 64, 500
# method, pairs, unpaired rows of a side
CASES = {
    "auto_20k": ("CotrainedHeads", 1_000, 20_000),
    "auto_4k_pairs": ("CotrainedHeads", 4_000, 0),
    "auto_100k": ("CotrainedHeads", 10_000, 100_000),
    "ridge_80k": ("RidgeCCA", 80_000, 0),
    "matching_2k": ("WassersteinProcrustes", 200, 2_000),
}
CHILD = """
import json, sys, threading, time, warnings
import numpy as np
from gera_jax import solvers
warnings.simplefilter("ignore")
folder, method, p, n = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
maps = [np.load(f"{folder}/{side}.npy", mmap_mode="r") for side in "xy"]
def own():
    return int(next(l for l in open("/proc/self/status") if l.startswith("RssAnon")).split()[1]) / 2**20
peak = [own()]
def watch():
    while True:
        peak[0] = max(peak[0], own()); time.sleep(0.01)
base = own(); threading.Thread(target=watch, daemon=True).start()
began = time.process_time()
rows = [table[500:500 + p] for table in maps] + [maps[0][500 + p:500 + p + n], maps[1][500 + p + n:500 + p + 2 * n]]
model = getattr(solvers, method)().fit(*rows)
seconds = time.process_time() - began
scores = model.similarity(np.array(maps[0][:500]), np.array(maps[1][:500]))
hit = float(np.mean((scores > np.diag(scores)[:, None]).sum(1) < 10))
print(json.dumps(dict(seconds=seconds, gib=peak[0] - base, recall=hit)))
"""


def write_rows(folder: Path, count: int) -> None:
    """Tables of `count` rows whose row i is a noisy function of the same hidden numbers on both sides."""
    rng = np.random.default_rng(0)
    mixes = [rng.normal(size=(HIDDEN, width)).astype(np.float32) for width in WIDTHS]
    decay = (2 / np.sqrt(1 + np.arange(HIDDEN))).astype(np.float32)
    tables = [
        np.lib.format.open_memmap(folder / f"{s}.npy", "w+", np.float32, (count, w)) for s, w in zip("xy", WIDTHS, strict=True)
    ]
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        hidden = np.tanh(rng.normal(size=(size, HIDDEN)).astype(np.float32) * decay)
        for table, mix, width in zip(tables, mixes, WIDTHS, strict=True):
            table[start : start + size] = hidden @ mix + 6 * rng.normal(size=(size, width)).astype(np.float32)


def measure(root: Path, folder: Path, method: str, pairs: int, unpaired: int) -> dict[str, float]:
    """One fit in a process of its own, of the code in `root`."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    env = {**os.environ, **one, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
    env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    argv = [sys.executable, "-c", CHILD, str(folder), method, str(pairs), str(unpaired)]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=folder)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["auto_20k", "auto_4k_pairs", "ridge_80k", "matching_2k"])
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    roots = {"this": ROOT, **({"other": args.against.resolve()} if args.against else {})}
    print("| fit | pairs | unpaired a side | code | CPU s | GiB | R@10, % | CPU s / other |")
    print("|---" * 8 + "|")
    for case in args.cases:
        method, pairs, unpaired = CASES[case]
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder), TEST + pairs + 2 * unpaired)
            runs = [
                {name: measure(root, Path(folder), *CASES[case]) for name, root in roots.items()} for _ in range(args.repeats)
            ]
        middle = {name: {key: statistics.median(run[name][key] for run in runs) for key in runs[0][name]} for name in roots}
        for name, found in middle.items():
            ratio = f"{found['seconds'] / middle['other']['seconds']:.2f}" if args.against else ""
            print(
                f"| {method} | {pairs:,} | {unpaired:,} | {name} | {found['seconds']:.1f} | {found['gib']:.2f} | "
                f"{100 * found['recall']:.1f} | {ratio} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
