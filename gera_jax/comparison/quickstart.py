"""The main job end to end: two systems from two starts beside the closed forms, on one split, in one table and one page."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import checks, solvers, training
from gera_jax import config as config_lib
from gera_jax.comparison.report import write_report
from gera_jax.comparison.results import QuickstartResults, Row
from gera_jax.data import AlignmentData, build_data, catalog, inspect_data
from gera_jax.files import one_writer
from gera_jax.training.evaluate import alignment_metrics, split_rows
from gera_jax.training.overview import guessing, overview, overview_text
from gera_jax.writers import duration

SYSTEMS = ("gera", "contrastive")
STARTS = ("ridge_cca", "random")
COUNTS = (100, 300, 1000)
REGULARIZATIONS = (0.1, 0.3, 1.0, 3.0)


@dataclasses.dataclass
class _Progress:
    total: int
    show: bool
    began: float = dataclasses.field(default_factory=time.monotonic)
    done: int = 0

    def __call__(self, label: str) -> None:
        self.done += 1
        if not self.show:
            return
        spent = time.monotonic() - self.began
        left = spent / self.done * (self.total - self.done)
        print(
            f"[{self.done}/{self.total}] {label}   {duration(spent)} spent, {duration(left)} left",
            file=sys.stderr,
            flush=True,
        )


def run_quickstart(output: Path, *, source: str, pairs: Sequence[int], progress: bool, smoke: bool) -> QuickstartResults:
    """Train, fit, measure and write `output/report.html`; runs lie in `output/runs` and are resumed, not repeated.

    Without `pairs` there are 100, 300 and 1,000 of them, or all in place of more than the set has.
    Hyper-parameters of the closed forms are chosen on the validation rows, as the trained systems choose their best step.
    """
    pairs = [checks.whole(count, "pairs", least=2) for count in pairs]
    if not pairs:
        most = len(build_data(config_lib.embedding_pair(source, pairs=0).to_dict()).pairs)
        pairs = sorted({min(count, most) for count in COUNTS})
    for count in pairs:  # before one of them is trained
        inspect_data(config_lib.embedding_pair(source, pairs=count).to_dict())
    with checks.disk_room(output), one_writer(output):
        return _quickstart(output, source=source, pairs=pairs, progress=progress, smoke=smoke)


def _quickstart(output: Path, *, source: str, pairs: Sequence[int], progress: bool, smoke: bool) -> QuickstartResults:
    began = time.monotonic()
    report = _Progress(len(pairs) * (len(SYSTEMS) * len(STARTS) + 3), progress)
    rows: list[Row] = []
    curves: dict[str, list[dict[str, Any]]] = {}
    shown: training.TrainResult | None = None
    for count in pairs:
        plain = config_lib.embedding_pair(source, pairs=count)
        data = build_data(plain.to_dict())
        if progress:
            print(overview_text(overview(data)), file=sys.stderr, flush=True)
        for method, (project, seconds) in fit_closed_forms(data).items():
            rows.append(Row(method, "", count, 0, alignment_metrics(data, project, "test"), seconds))
            report(f"{count} pairs: {method}")
        for system in SYSTEMS:
            for start in STARTS:
                spec = f"{system}:source={source},pairs={count},start={start}" + (",smoke" if smoke else "")
                result = training.train(
                    config_lib.load(spec),
                    output / "runs" / f"{system}-{start}-{count}",
                    cache_dir=output / "cache",
                )
                rows.append(Row(system, start, count, 0, result.evaluate("test"), result.seconds, result.best_step))
                curves[f"{rows[-1].label}, {count} pairs"] = result.history
                shown = result if (system, start) == (SYSTEMS[0], STARTS[0]) else shown
                report(f"{count} pairs: {system} from {start}")
    results = QuickstartResults(
        rows=rows,
        curves=curves,
        names=data.names,
        test_items=len(data.test),
        chance=guessing(data, "test"),
        picture=joint_picture(shown),
        examples=retrieval_examples(shown),
        notes=[
            "One split and one seed: docs/results has means over seeds with intervals.",
            "Unpaired rows are independent: no item gives a row to both modalities unless it is a known pair.",
        ],
        settings=dict(
            command=f"gera-jax quickstart --source {source}",
            source=source,
            unpaired="independent",
            validation=len(data.val),
            test=len(data.test),
            split="random, seed 0",
            versions={name: metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
            seconds=round(time.monotonic() - began, 1),
        ),
    )
    path = output / "report.html"
    write_report(path, results)
    results.settings["report"] = str(path)
    return results


def fit_closed_forms(data: AlignmentData) -> dict[str, tuple[Callable[[str, np.ndarray], np.ndarray], float]]:
    """Procrustes, ridge CCA (regularisation chosen on validation rows) and ASIF: name -> (project, seconds of the fit)."""
    x_name, y_name = data.names
    x = data.features[x_name].take(data.pairs[:, 0])
    y = data.features[y_name].take(data.pairs[:, 1])

    def projection(fitted: Any) -> Callable[[str, np.ndarray], np.ndarray]:
        return lambda name, rows: fitted.transform_x(rows) if name == x_name else fitted.transform_y(rows)

    candidates = {
        "procrustes": [solvers.Procrustes()],
        "ridge CCA": [solvers.RidgeCCA(regularization=value) for value in REGULARIZATIONS],
        "ASIF": [solvers.ASIF()],
    }
    found = {}
    for name, models in candidates.items():
        began = time.monotonic()
        projections = [projection(model.fit(x, y)) for model in models]
        scores = [alignment_metrics(data, p, "val", full=False)["mean/R@10"] for p in projections] if len(models) > 1 else [0]
        found[name] = (projections[int(np.argmax(scores))], time.monotonic() - began)
    return found


def _test_space(result: training.TrainResult) -> tuple[AlignmentData, list[np.ndarray], list[np.ndarray]]:
    data = result.experiment.data
    rows = list(split_rows(data, "test"))
    z = [result.project(name, data.features[name].take(r)) for name, r in zip(data.names, rows, strict=True)]
    return data, rows, z


def words_of(data: AlignmentData, side: int, row: int) -> str:
    """What a row is, in words: its caption where its set has one, else its id."""
    name = data.names[side]
    source, meta = data.report["source"], data.meta[name]
    if meta is None or source not in catalog.names():
        return str(data.tables[name].ids[row])
    return str(meta[row][catalog.info(source).captions[name]])


def joint_picture(result: training.TrainResult) -> dict[str, Any]:
    """The test items in the two main directions of the joint space."""
    from gera_jax.plots import pca_plane

    data, rows, z = _test_space(result)
    partner = dict(data.test.tolist())
    order = {row: i for i, row in enumerate(rows[1])}
    x, y = pca_plane(z[0], z[1][[order[partner[row]] for row in rows[0]]])
    return dict(x=x, y=y, labels=[words_of(data, 0, row) for row in rows[0]])


def retrieval_examples(result: training.TrainResult, *, count: int = 5) -> list[dict[str, Any]]:
    """Queries of the second modality spread evenly over the ranks of their true match, so that misses show as they are."""
    data, rows, z = _test_space(result)
    partner = {y: x for x, y in data.test.tolist()}
    column = {row: i for i, row in enumerate(rows[0])}
    scores = z[1] @ z[0].T
    truth = np.array([column[partner[row]] for row in rows[1]])
    ranks = 1 + (scores > scores[np.arange(len(truth)), truth][:, None]).sum(1)
    chosen = np.argsort(ranks, kind="stable")[np.linspace(0, len(ranks) - 1, count).astype(int)]
    return [
        dict(
            query=words_of(data, 1, rows[1][i]),
            truth=words_of(data, 0, rows[0][truth[i]]),
            rank=int(ranks[i]),
            found=[words_of(data, 0, rows[0][j]) for j in np.argsort(-scores[i])[:3]],
        )
        for i in chosen
    ]
