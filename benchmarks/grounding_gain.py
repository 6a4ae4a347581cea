"""What each part of G2L is worth on the bundled spoken phrases: paired differences over seeds, beside baselines without training.

    python -m benchmarks.grounding_gain --output benchmarks/results/g2l_gain.jsonl          # runs what the file does not hold yet
    python -m benchmarks.grounding_gain --output benchmarks/results/g2l_gain.jsonl --table

A seed is an initialisation and an order of the recordings; the split is the set's own, so all arms see the same data. The best
step of a run is chosen by mIoU on the validation recordings; the test recordings are looked at once. The settings of the
configs were chosen on the validation recordings (docs/results/g2l.md); so are those of the baselines, here.
"""

from __future__ import annotations

import functools
import time

import numpy as np

from benchmarks import _sweep as sweep
from gera_jax import config, evaluation, solvers, training
from gera_jax.moments import Proposals, build_grounding
from gera_jax.moments.data import span_means

ARMS = {
    "full G2L": "g2l",
    "without geodesic": "configs/ablations/g2l_no_geodesic.py",
    "without Shapley": "configs/ablations/g2l_no_shapley.py",
    "plain 2-D map, BCE": "configs/ablations/g2l_plain.py",
    "without the prior": "g2l:prior=False",
}
BASELINES = ("random", "nearest neighbours", "CCA", "CCA, length prior")
SEEDS = range(5)
METRICS = tuple(f"R@{n}/IoU={m}" for n in (1, 5) for m in (0.3, 0.5, 0.7))
GRID = {"nearest neighbours": (1, 5, 20, 80), "CCA": (0.01, 0.03, 0.1, 0.3), "CCA, length prior": (0.005, 0.01, 0.02, 0.05)}


def run(arm: str, seed: int) -> dict:
    began = time.process_time()
    name = ARMS[arm] + ("," if ":" in ARMS[arm] else ":") + f"seed={seed}"
    result = training.train(config.load(name))
    return dict(
        arm=arm,
        seed=seed,
        best_step=result.best_step,
        steps=int(result.state.step),
        val=result.best_metric,
        cpu_seconds=round(time.process_time() - began, 1),
        test=result.evaluate("test"),
    )


class Untrained:
    """Scores of every proposal of up to 16 clips by closed forms fitted on the true spans of the training recordings."""

    def __init__(self):
        self.data = build_grounding(dict(source="phrases"))
        self.spans = Proposals(64, (15,)).spans
        clips = np.concatenate([np.zeros((len(self.data.clips), 1, self.data.clips.shape[2])), self.data.clips.cumsum(1)], axis=1)
        length = np.diff(self.spans, axis=1)
        self.moments = ((clips[:, self.spans[:, 1]] - clips[:, self.spans[:, 0]]) / length).astype(np.float32)
        self.train = self.data.of(self.data.splits["train"])
        self.means = span_means(self.data, self.train)
        train_length = np.log(np.diff(self.data.span_clips()[self.train], axis=1))
        self.log_length = ((np.log(length[:, 0]) - train_length.mean()) / train_length.std()) ** 2

    def measure(self, name: str, split: str, setting: float, seed: int = 0) -> dict[str, float]:
        queries = self.data.of(self.data.splits[split])
        scores = self.scores(name, queries, setting, seed)
        kept = evaluation.temporal_nms(self.spans.astype(float), scores, threshold=0.5, keep=5)
        seconds = (self.data.durations / self.data.lengths)[self.data.recording[queries]]
        found = np.where(kept[..., None] >= 0, self.spans[kept] * seconds[:, None, None], np.nan)
        return evaluation.grounding_recall(found, self.data.spans[queries])

    def scores(self, name: str, queries: np.ndarray, setting: float, seed: int) -> np.ndarray:
        if name == "random":
            return np.random.default_rng(seed).uniform(size=(len(queries), len(self.spans)))
        if name == "nearest neighbours":  # the clips of the nearest training sentences stand for the sentence
            text = self.data.sentences[queries] @ self.data.sentences[self.train].T
            near = np.argsort(-text, axis=1)[:, : int(setting)]
            return _cosines(self.means[near].mean(1), self.moments[self.data.recording[queries]])
        regularization = setting if name == "CCA" else self.ridge
        fitted = solvers.RidgeCCA(regularization=regularization).fit(self.means, self.data.sentences[self.train])
        s = self.data.sentences[queries] @ fitted.y_weights + fitted.y_offset
        v = self.moments @ fitted.x_weights.astype(np.float32) + fitted.x_offset.astype(np.float32)
        cosine = _cosines(s, v[self.data.recording[queries]])
        return cosine - setting * self.log_length / 2 if name == "CCA, length prior" else cosine

    @functools.cached_property
    def ridge(self) -> float:
        """The setting of CCA, on which the length prior stands."""
        return self.chosen("CCA")[0]

    def chosen(self, name: str) -> tuple[float, float]:
        """The setting that is best on the validation recordings, and its mIoU there."""
        val = {setting: self.measure(name, "val", setting)["mIoU"] for setting in GRID[name]}
        return max(val.items(), key=lambda item: item[1])

    def best(self, name: str) -> dict:
        if name == "random":
            draws = [self.measure(name, "test", 0, seed) for seed in SEEDS]
            return dict(arm=name, test={m: float(np.mean([d[m] for d in draws])) for m in draws[0]})
        setting, val = self.chosen(name)
        return dict(arm=name, setting=setting, val=val, test=self.measure(name, "test", setting))


def _cosines(s: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[Q, N] from s [Q, d] and v [Q, N, d], a block of queries at a time."""
    out = np.empty(v.shape[:2], np.float32)
    for q, (one, rows) in enumerate(zip(s, v, strict=True)):
        out[q] = rows @ one / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(one), 1e-12)
    return out


def table(rows: list[dict]) -> str:
    heads = ["| arm | R@1 IoU .3 | .5 | .7 | R@5 IoU .3 | .5 | .7 | mIoU |", "|---|---|---|---|---|---|---|---|"]
    lines = list(heads)
    found = {(row["arm"], row.get("seed")): row["test"] for row in rows}
    names = (*METRICS, "mIoU")
    for name in BASELINES:
        if (name, None) in found:
            lines.append(f"| {name} | " + " | ".join(f"{100 * found[name, None][m]:.1f}" for m in names) + " |")
    whole = {arm: [found[arm, seed] for seed in SEEDS] for arm in ARMS if all((arm, seed) in found for seed in SEEDS)}
    for arm, runs in whole.items():
        lines.append(f"| {arm} | " + " | ".join(f"{100 * np.mean([r[m] for r in runs]):.1f}" for m in names) + " |")
    lines += ["", "Full G2L minus the arm, mean and 95 % interval over the paired seeds, in points:", "", *heads]
    for arm, runs in whole.items():
        if arm == "full G2L" or "full G2L" not in whole:
            continue
        cells = []
        for m in names:
            cells.append(sweep.interval([a[m] - b[m] for a, b in zip(whole["full G2L"], runs, strict=True)]))
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = sweep.parser()
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    args = parser.parse_args()
    if args.table:
        print(table(sweep.read(args.output)))
        return
    if args.part.startswith("0/"):
        untrained = functools.cache(Untrained)
        sweep.run_missing(args.output, ("arm",), [(name,) for name in BASELINES], lambda name: untrained().best(name))
    cells = [(arm, seed) for seed in SEEDS for arm in args.arms]
    sweep.run_missing(args.output, ("arm", "seed"), cells, run, args.part)


if __name__ == "__main__":
    main()
