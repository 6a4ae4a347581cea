"""An index moved to a new model: what maps from p pairs keep of the new model's search, beside named rivals.

    python -m benchmarks.bridge --output benchmarks/results/bridge.jsonl --file wordnet_migration.npz  # runs what is missing
    python -m benchmarks.bridge --output benchmarks/results/bridge_plan.jsonl --file wordnet_migration.npz --plan
    python -m benchmarks.bridge --output benchmarks/results/bridge.jsonl --table
    python -m benchmarks.bridge --speed 1000000  # rows a second and memory of `bridge apply`

The file holds rows `docs_OLD`, `docs_NEW`, `queries_OLD`, `queries_NEW`, the number of each query's document (`relevant`) and how
many of the documents are the index (`n_index`). A seed draws the pairs, and splits the queries into 2,000 logged ones, which maps
may use, and others, which are asked. R@10 is the share of the first ten of all new rows that is among the first ten of the mapped
ones; nDCG@10 of the one relevant document is given in shares of that of the new rows.
"""

from __future__ import annotations

import dataclasses
import functools
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks._sweep import interval, parser, read, run_missing
from gera_jax import bridge, solvers
from gera_jax.aligners.outputs import Predictor
from gera_jax.bridge.fitting import fit_rows
from gera_jax.bridge.plan import plan_rows
from gera_jax.bridge.rows import Rows
from gera_jax.comparison.outcome import Interval
from gera_jax.solvers.linear import unit_rows

COUNTS, SEEDS, LOGGED, K = (20, 50, 100, 200, 500, 1000, 4000), range(5), 2_000, 10


@dataclasses.dataclass(frozen=True)
class World:
    rows: Rows
    new: np.ndarray  # [n, dy] the whole index under the new model: the truth
    asked: np.ndarray
    relevant: np.ndarray


@functools.lru_cache(maxsize=1)
def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {
            name: stored[name].astype(np.float32) if stored[name].dtype == np.float16 else stored[name] for name in stored.files
        }


def world(path: Path, old: str, new: str, pairs: int, seed: int) -> World:
    held = arrays(path)
    n, rng = int(held["n_index"]), np.random.default_rng(seed)
    queries = rng.permutation(len(held["relevant"]))
    at = np.sort(rng.permutation(n)[:pairs])
    index, truth, rows = held[f"docs_{old}"][:n], held[f"docs_{new}"][:n], held[f"queries_{new}"]
    made = Rows(index, at, truth[at], rows[queries[:LOGGED]], np.arange(n))
    return World(made, truth, rows[queries[LOGGED:]], held["relevant"][queries[LOGGED:]])


def first(scores: np.ndarray) -> np.ndarray:
    return np.argpartition(-scores, K, axis=1)[:, :K]


def measure(made: World, mapped: np.ndarray) -> dict[str, float]:
    """R@10 of the true first ten, and nDCG@10 in shares of the new model's own."""
    scores = [made.asked @ rows.T for rows in (made.new, mapped)]
    hits = [len(np.intersect1d(*both)) for both in zip(*map(first, scores), strict=True)]
    gains = [float(gain(s, made.relevant).mean()) for s in scores]
    return {"R@10": round(float(np.mean(hits)) / K, 4), "nDCG": round(gains[1] / gains[0], 4)}


def gain(scores: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    own = scores[np.arange(len(scores)), relevant]
    rank = np.count_nonzero(scores > own[:, None], axis=1)
    return np.where(rank < K, 1 / np.log2(2 + rank), 0.0)


def ridge(made: World) -> np.ndarray:
    rows = made.rows
    return Predictor.fit(rows.pairs, rows.new)(rows.old).astype(np.float32)


def procrustes(made: World) -> np.ndarray:
    rows = made.rows
    model = solvers.Procrustes().fit(rows.pairs, rows.new)
    turned = unit_rows((rows.old - rows.pairs.mean(axis=0)) @ model.x_weights @ model.y_weights.T)
    return (turned + rows.new.mean(axis=0)).astype(np.float32)


def ours(made: World, *, queries: bool) -> np.ndarray:
    rows = made.rows if queries else dataclasses.replace(made.rows, queries=made.rows.queries[:0])
    return fit_rows(rows, ways=("forward",)).forward(rows.old)


METHODS: dict[str, Callable[[World], np.ndarray]] = {
    "ridge": lambda made: unit_rows(ridge(made)),
    "Procrustes": lambda made: unit_rows(procrustes(made)),
    "bridge, old index": functools.partial(ours, queries=False),
    "bridge, old index and queries": functools.partial(ours, queries=True),
}


def cell(path: Path, old: str, new: str, pairs: int, method: str, seed: int) -> dict:
    made = world(path, old, new, pairs, seed)
    began = time.process_time()
    mapped = METHODS[method](made)
    seconds = time.process_time() - began
    found = measure(made, mapped)
    return dict(old=old, new=new, pairs=pairs, method=method, seed=seed, **found, seconds=round(seconds, 1))


def planned(path: Path, old: str, new: str, pairs: int, method: str, seed: int) -> dict:
    """What `plan` says of one draw, without queries (method "plan") or with them, and what is true of maps from all its pairs."""
    made = world(path, old, new, pairs, seed)
    queries = method.endswith("queries")
    rows = made.rows if queries else dataclasses.replace(made.rows, queries=made.rows.queries[:0])
    began = time.process_time()
    found = plan_rows(rows, seed=seed)
    seconds = time.process_time() - began
    truth = measure(made, ours(made, queries=queries))
    return dict(
        old=old,
        new=new,
        pairs=pairs,
        method=method,
        seed=seed,
        **{f"true {name}": value for name, value in truth.items()},
        kept={way: list(one) for way, one in found.kept.items()},
        verdict=found.verdict,
        seconds=round(seconds, 1),
    )


def tables(rows: list[dict]) -> None:
    for old, new in dict.fromkeys((row["old"], row["new"]) for row in rows):
        own = [row for row in rows if (row["old"], row["new"]) == (old, new)]
        counts = sorted({row["pairs"] for row in own})
        print(f"\n| {old} -> {new}: R@10 / nDCG@10 kept | {' | '.join(f'p={count:,}' for count in counts)} |")
        print("|" + "---|" * (len(counts) + 1))
        for method in dict.fromkeys(row["method"] for row in own if "R@10" in row):
            cells = []
            for count in counts:
                seen = [row for row in own if row["method"] == method and row["pairs"] == count]
                means = [f"{np.mean([row[name] for row in seen]):.3f}"[1:] for name in ("R@10", "nDCG")] if seen else ["-"]
                cells.append("/".join(means) + (f" ({len(seen)})" if 0 < len(seen) < len(SEEDS) else ""))
            print(f"| {method} | {' | '.join(cells)} |")
        gains(own, counts)
        verdicts([row for row in own if "kept" in row])


def gains(rows: list[dict], counts: list[int]) -> None:
    """Paired differences over seeds: what the old index and the queries are worth."""
    by = {(row["method"], row["pairs"], row["seed"]): row for row in rows if "R@10" in row}
    for a, b in (("bridge, old index", "ridge"), ("bridge, old index and queries", "bridge, old index")):
        for name in ("R@10", "nDCG"):
            cells = []
            for count in counts:
                both = [seed for method, at, seed in by if (method, at) == (a, count) and (b, count, seed) in by]
                found = [by[a, count, seed][name] - by[b, count, seed][name] for seed in both]
                cells.append(interval(found) if len(found) > 1 else "-")
            print(f"| {a} - {b}, {name}, points | {' | '.join(cells)} |")


def verdicts(rows: list[dict]) -> None:
    for method in dict.fromkeys(row["method"] for row in rows):
        print(f"\n| {method} | R@10 said, forward | true | covered | CPU s |\n|---|---|---|---|---|")
        for count in sorted({row["pairs"] for row in rows}):
            seen = [row for row in rows if (row["method"], row["pairs"]) == (method, count)]
            if seen:
                said = [row["kept"]["forward"] for row in seen]
                inside = [low <= row["true R@10"] <= high for row, (_, low, high) in zip(seen, said, strict=True)]
                said, true = (
                    Interval.of(values).mean for values in ([mean for mean, *_ in said], [row["true R@10"] for row in seen])
                )
                seconds = np.mean([row["seconds"] for row in seen])
                print(f"| p={count:,} | {said:.3f} | {true:.3f} | {sum(inside)}/{len(seen)} | {seconds:.0f} |")


def speed(count: int) -> None:
    """A linear map and a fitted one on rows made up, from .npy to .npy and from parquet to parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gera_jax.bridge.folder import Bridge, Map

    rng = np.random.default_rng(0)
    some = rng.normal(size=(2_000, 384)).astype(np.float32)
    fitted = bridge.fit(some, some[:500] @ rng.normal(size=(384, 768)), old_ids=range(2_000), new_ids=range(500))
    mean, weights = np.zeros(384), rng.normal(size=(384, 768)).astype(np.float32)
    step = dict(op="affine", mean="mean", weights="weights", offset="offset")
    line = Map([step], dict(mean=mean, weights=weights, offset=np.zeros(768)))
    linear = Bridge(line, line, fitted.card)
    with tempfile.TemporaryDirectory() as folder:
        table = np.lib.format.open_memmap(f"{folder}/old.npy", "w+", np.float32, (count, 384))
        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), 384))])
        with pq.ParquetWriter(f"{folder}/old.parquet", schema, compression="none", use_dictionary=["id"]) as writer:
            for start in range(0, count, 50_000):
                rows = rng.normal(size=(min(50_000, count - start), 384)).astype(np.float32)
                table[start : start + len(rows)] = rows
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 384)
                writer.write_table(pa.table([pa.array(range(start, start + len(rows))), vectors], schema=schema))
        table.flush()
        del table, rows, vectors
        for name, model in (("linear", linear), ("fitted", fitted)):
            for suffix in ("npy", "parquet"):
                wall, cpu = time.monotonic(), time.process_time()
                bridge.apply(f"{folder}/old.{suffix}", model, f"{folder}/{name}.{suffix}")
                wall, cpu = time.monotonic() - wall, time.process_time() - cpu
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
                print(
                    f"{name} map, {suffix}: {count / wall:,.0f} rows/s wall, {count / cpu:,.0f} a CPU second, peak {peak:.2f} GiB"
                )
                Path(f"{folder}/{name}.{suffix}").unlink()


def main() -> None:
    options = parser()
    options._option_string_actions["--output"].required = False
    options.add_argument("--file", type=Path, help="rows of two models")
    options.add_argument("--old", default="minilm")
    options.add_argument("--new", default="mpnet")
    options.add_argument("--pairs", type=int, nargs="+", default=COUNTS)
    options.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    options.add_argument("--methods", nargs="+", default=list(METHODS))
    options.add_argument("--plan", action="store_true", help="plans in place of maps")
    options.add_argument("--speed", type=int, metavar="ROWS")
    args = options.parse_args()
    if args.speed:
        return speed(args.speed)
    if args.file and not args.table:
        names = ("old", "new", "pairs", "method", "seed")
        methods = ["plan", "plan, queries"] if args.plan else args.methods
        cells = [(args.old, args.new, pairs, method, seed) for seed in args.seeds for pairs in args.pairs for method in methods]
        run_missing(args.output, names, cells, functools.partial(planned if args.plan else cell, args.file), args.part)
    return tables([row for row in read(args.output) if row["seed"] in args.seeds])


if __name__ == "__main__":
    main()
