"""The first rows of the large molecule set as they ship: rows are in random order, so they are a fair smaller set.

python -m benchmarks._molecule_large molecule_name_large.npz --rows 6000
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from gera_jax.data.catalog import FILES


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path, help="the file of 20,000 rows")
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--output", type=Path, default=FILES / "molecule_name_large.npz")
    args = parser.parse_args()
    with np.load(args.source, allow_pickle=False) as whole:
        arrays = {name: whole[name][: args.rows] for name in ("molecule", "text")}
        meta = json.loads(str(whole["meta"]))[: args.rows]
    np.savez_compressed(args.output, **arrays, meta=json.dumps(meta, separators=(",", ":")))
    print(f"{args.output}: {args.rows} rows, {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
