"""Heat-geodesic embedding beside PHATE, UMAP, t-SNE, diffusion maps and Isomap, from their own packages, in one run.

    python -m benchmarks.heat_embedding geodesics --data swiss-3 swiss-10 tree
    python -m benchmarks.heat_embedding clusters
    python -m benchmarks.heat_embedding speed --rows 1000 5000 20000 100000 --limit 4000
    python -m benchmarks.heat_embedding pictures --out pictures

The peers are for this benchmark only: `pip install phate umap-learn pydiffmap scikit-learn h5py` and, for the single-cell set
that ships inside it, `pip install --no-deps scanpy`. A method whose package is missing is left out with a line that says so.
Results: docs/results/heat_geodesic.md. Lines of JSON go to --out.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence
from scipy.stats import rankdata

from gera_jax.embedding.manifolds import Manifold, swiss_roll, tree

VALIDATION, TEST = (100, 101), (0, 1, 2, 3, 4)
ROWS = 500
NOISE = {"swiss-3": (0.1, 0.5, 1.0), "swiss-10": (0.1, 0.5, 1.0), "tree": (1.0, 5.0, 10.0)}
MAKE: dict[str, Callable[..., Manifold]] = {
    "swiss-3": lambda noise, seed: swiss_roll(ROWS, dim=3, noise=noise, seed=seed),
    "swiss-10": lambda noise, seed: swiss_roll(ROWS, dim=10, noise=noise, seed=seed),
    "tree": lambda noise, seed: tree(ROWS, dim=10, branches=5, noise=noise, seed=seed),
}
# (x, seed, picture, **point of the grid) -> (distances, embedding)
Fit = Callable[..., tuple[np.ndarray | None, np.ndarray | None]]


_MODELS: dict[int, Any] = {}


def _heat(x: np.ndarray, seed: int, picture: bool, **options: Any):
    from gera_jax.embedding import HeatGeodesicEmbedding

    # One estimator for one set of points: it keeps its graph, and its heat where only sigma, rho or paths change.
    model = _MODELS.setdefault(hash(x.tobytes()), HeatGeodesicEmbedding())
    model.set_params(**HeatGeodesicEmbedding().get_params())
    model.set_params(random_state=seed, landmarks=None, mds="smacof" if picture else "classical", **options).fit(x)
    return model.distances_, model.embedding_ if picture else None


def _phate(x: np.ndarray, seed: int, picture: bool, **options: Any):
    import phate

    model = phate.PHATE(random_state=seed, verbose=0, n_jobs=1, n_landmark=None, **options)
    model.fit(x)
    return _pairwise(model.diff_potential), np.asarray(model.transform(x)) if picture else None


def _diffusion_map(x: np.ndarray, seed: int, picture: bool, *, k: int, t: float):
    from pydiffmap import diffusion_map

    del seed
    model = diffusion_map.DiffusionMap.from_sklearn(n_evecs=20, k=k, epsilon="bgh", alpha=1.0)
    model.fit(x)
    decay = np.exp(t * model.evals)  # eigenvalues of the generator, <= 0
    rows = model.evecs * decay
    return _pairwise(rows), rows[:, :2] if picture else None


def _isomap(x: np.ndarray, seed: int, picture: bool, *, k: int, denoise: float = 0.0, denoise_neighbors: int = 0):
    from sklearn.manifold import Isomap

    from gera_jax.embedding.stages import denoise as smooth

    del seed
    x = smooth(x, steps=denoise, k=denoise_neighbors, metric="euclidean") if denoise else x
    model = Isomap(n_neighbors=k, n_components=2).fit(x)
    return model.dist_matrix_, model.embedding_ if picture else None


def _umap(x: np.ndarray, seed: int, picture: bool, **options: Any):
    import umap

    del picture
    return None, umap.UMAP(random_state=seed, n_jobs=1, **options).fit_transform(x)


def _tsne(x: np.ndarray, seed: int, picture: bool, **options: Any):
    from sklearn.manifold import TSNE

    del picture
    return None, TSNE(random_state=seed, n_jobs=1, **options).fit_transform(x)


def grid(**axes: Any) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


# Method -> what it calls, its package, and its grid.
OWN = "heat-geodesic"
SMOOTHING = [(0.0, None), (2.0, 10), (2.0, 20), (2.0, 30), (4.0, 30)]
ROBUST = [dict(denoise=steps, denoise_neighbors=k, spread=0.9) for steps, k in SMOOTHING]
METHODS: dict[str, tuple[Fit, str, list[dict[str, Any]]]] = {
    OWN: (_heat, "gera_jax", [{**point, "paths": gate} for point in ROBUST for gate in (None, 4.0, 100.0)]),
    "heat-geodesic, no paths": (_heat, "gera_jax", ROBUST),
    "heat-geodesic, as published": (_heat, "gera_jax", grid(n_neighbors=(5, 10, 20), t=("knee",), lengths=("local",))),
    "PHATE": (_phate, "phate", grid(knn=(5, 10))),
    "diffusion map": (_diffusion_map, "pydiffmap", grid(k=(20, 64), t=(0.1, 1.0, 10.0))),
    "Isomap": (_isomap, "sklearn", grid(k=(5, 10, 20))),
    "Isomap after denoising": (_isomap, "sklearn", grid(k=(5, 10, 20), denoise=(2.0,), denoise_neighbors=(10, 20, 30))),
    "UMAP": (_umap, "umap", grid(n_neighbors=(15, 30), min_dist=(0.5,))),
    "t-SNE": (_tsne, "sklearn", grid(perplexity=(30,))),
}


def _pairwise(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    squared = (points**2).sum(1)
    return np.sqrt(np.maximum(squared[:, None] + squared[None] - 2 * points @ points.T, 0))


def agreement(distances: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Pearson and Spearman correlation of each row with the true geodesic distances, averaged over the rows."""
    distances = np.where(np.isfinite(distances), distances, 0.0)
    np.fill_diagonal(distances, 0.0)

    def rows(a, b):
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        return float(np.mean((a * b).sum(1) / np.sqrt(np.maximum((a * a).sum(1) * (b * b).sum(1), 1e-300))))

    return rows(distances, truth), rows(rankdata(distances, axis=1), rankdata(truth, axis=1))


def _scores(fit: Fit, data: Manifold, seed: int, point: dict[str, Any], *, picture: bool) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distances, embedding = fit(data.points, seed, picture, **point)
    out = {}
    for name, values in (("distance", distances), ("embedding", None if embedding is None else _pairwise(embedding))):
        if values is not None:
            out[f"{name}/pearson"], out[f"{name}/spearman"] = agreement(np.array(values), data.distances)
    return out


def geodesics(data: list[str], methods: list[str], out: Path) -> None:
    """Choose on VALIDATION by Pearson + Spearman of the distances (the embedding, if a method has no other), report on TEST."""
    for name, method in itertools.product(data, methods):
        fit, _, points = METHODS[method]
        for noise in NOISE[name]:
            sets = [MAKE[name](noise, seed) for seed in VALIDATION]

            def quality(point, fit=fit, sets=sets):
                found = [_scores(fit, m, seed, point, picture=False) for m, seed in zip(sets, VALIDATION, strict=True)]
                kind = "distance" if "distance/pearson" in found[0] else "embedding"
                return np.mean([f[f"{kind}/{c}"] for f in found for c in ("pearson", "spearman")])

            best = max(points, key=quality)
            tests = [_scores(fit, MAKE[name](noise, seed), seed, best, picture=True) for seed in TEST]
            scores = {key: [t[key] for t in tests] for key in tests[0]}
            line = dict(kind="geodesics", data=name, noise=noise, method=method, rows=ROWS, chosen=best, scores=scores)
            _write(out, line, {key: f"{np.mean(v):.4f} ({np.std(v, ddof=1):.4f})" for key, v in scores.items()})


def _sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Digits [1797, 64] and the reduced PBMC set [700, 50] (its own principal components), with labels."""
    from sklearn.datasets import load_digits

    found = {"digits": load_digits(return_X_y=True)}
    home = importlib.util.find_spec("scanpy")
    if home is None or importlib.util.find_spec("h5py") is None:
        print("PBMC is left out: pip install --no-deps scanpy; pip install h5py")
        return found
    import h5py

    with h5py.File(Path(home.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad") as file:
        found["PBMC"] = (np.asarray(file["obsm"]["X_pca"], np.float64), np.asarray(file["obs"]["bulk_labels"], np.int64))
    return found


CLUSTERS = {  # each method at its defaults, and heat-geodesic at two settings
    OWN: {},
    "heat-geodesic, weights": dict(weights="heat", rho=0.5),
    "PHATE": {},
    "diffusion map": dict(k=64, t=1.0),
    "Isomap": dict(k=10),
    "UMAP": {},
    "t-SNE": {},
}


def clusters(out: Path) -> None:
    """k-means (k = classes) on the standardised 2-D embedding: ARI and NMI with the labels, five seeds."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    for (name, (x, labels)), (method, point) in itertools.product(_sets().items(), CLUSTERS.items()):
        fit, package, _ = METHODS[method.split(",")[0]]
        if importlib.util.find_spec(package) is None:
            continue
        scores: dict[str, list[float]] = {"ARI": [], "NMI": []}
        for seed in TEST:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    _, embedding = fit(x, seed, True, **point)
                except ArpackNoConvergence as error:  # a peer's solver
                    print(f"{name}  {method} {error}", flush=True)
                    break
            embedding = (embedding - embedding.mean(0)) / embedding.std(0)
            found = KMeans(len(np.unique(labels)), n_init=10, random_state=seed).fit_predict(embedding)
            scores["ARI"].append(float(adjusted_rand_score(labels, found)))
            scores["NMI"].append(float(normalized_mutual_info_score(labels, found)))
        if len(scores["ARI"]) < len(TEST):
            continue
        line = dict(kind="clusters", data=name, method=method, options=point, scores=scores)
        _write(out, line, {key: f"{np.mean(v):.3f} ({np.std(v, ddof=1):.3f})" for key, v in scores.items()})


def _embed_once(method: str, rows: int) -> None:
    """One embedding in this process; prints CPU seconds, wall seconds and the peak of resident memory."""
    x = swiss_roll_points(rows)
    if method == OWN:
        from gera_jax.embedding import HeatGeodesicEmbedding as Model

        model = Model(random_state=0)
    elif method == "PHATE":
        import phate

        model = phate.PHATE(random_state=0, verbose=0, n_jobs=1)
    else:
        import umap

        model = umap.UMAP(random_state=0, n_jobs=1)
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit_transform(x)
    print(
        json.dumps(
            dict(
                cpu=time.process_time() - cpu,
                wall=time.perf_counter() - wall,
                memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            )
        )
    )


def swiss_roll_points(rows: int) -> np.ndarray:
    """Points of the 10-D roll in blocks: the generator's [n, n] truth would not fit."""
    seeds = -(-rows // 2_000)
    angle = np.concatenate([swiss_roll(min(2_000, rows), noise=0.1, seed=s).points for s in range(seeds)])[:rows]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 3)))[0]
    return angle @ turn.T


def speed(rows: list[int], methods: list[str], out: Path, limit: int) -> None:
    """Each method at its defaults, each run in a process of its own, compilation and imports of the fit included."""
    for count, method in itertools.product(rows, methods):
        command = [sys.executable, "-m", "benchmarks.heat_embedding", "once", "--methods", method, "--rows", str(count)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=True)
            found = json.loads(done.stdout.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            found = dict(cpu=None, wall=f"> {limit}", memory=None)
        except subprocess.CalledProcessError as error:
            found = dict(cpu=None, wall=None, memory=None, error=error.stderr.strip().splitlines()[-1][:200])
        _write(out, dict(kind="speed", method=method, rows=count, **found), found)


def pictures(folder: Path) -> None:
    """The heat-geodesic picture of each data set beside PHATE's and UMAP's, as PNG."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    sets = {
        name: (m.points, m.position if name != "tree" else m.labels)
        for name, m in ((name, MAKE[name](noise[1] if name != "tree" else noise[0], 0)) for name, noise in NOISE.items())
    }
    shown = (OWN, "PHATE", "UMAP")
    for name, (x, colour) in {**sets, **_sets()}.items():
        figure = Figure(figsize=(12, 4), layout="constrained")
        for axes, method in zip(figure.subplots(1, 3), shown, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                embedding = METHODS[method][0](x, 0, True)[1]
            axes.scatter(*embedding[:, :2].T, c=colour, s=5, cmap="Spectral")
            axes.set_title(f"{name}: {method}")
            axes.set_aspect("equal", adjustable="datalim")  # panels of one size
            axes.tick_params(labelsize=7)
        figure.savefig(folder / f"{name}.png", dpi=80)


def _write(out: Path, line: dict[str, Any], shown: dict[str, Any]) -> None:
    words = [str(line[key]) for key in ("data", "noise", "method", "rows") if key in line]
    print("  ".join(words), shown, line.get("chosen", ""), flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="speed", choices=("geodesics", "clusters", "speed", "pictures", "once"))
    parser.add_argument("--data", nargs="+", default=list(NOISE), choices=list(NOISE))
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000])
    parser.add_argument("--limit", type=int, default=600, help="seconds for one embedding of `speed`")
    parser.add_argument("--out", type=Path, default=Path("runs/heat_embedding.jsonl"))
    args = parser.parse_args()
    if args.what == "once":
        _embed_once(args.methods[0], args.rows[0])
        return
    known = (OWN, "PHATE", "UMAP") if args.what == "speed" else tuple(METHODS)
    missing = sorted({METHODS[m][1] for m in known if importlib.util.find_spec(METHODS[m][1]) is None})
    if missing:
        print(f"Left out, not installed: {', '.join(missing)}.")
    methods = [m for m in (args.methods or known) if METHODS[m][1] not in missing]
    run = {
        "geodesics": lambda: geodesics(args.data, methods, args.out),
        "clusters": lambda: clusters(args.out),
        "speed": lambda: speed(args.rows, methods, args.out, args.limit),
        "pictures": lambda: pictures(args.out),
    }
    run[args.what]()


if __name__ == "__main__":
    main()
