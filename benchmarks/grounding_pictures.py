"""Score map of a test sentence, and the true and found spans of a test recording, of a finished run.

python -m benchmarks.grounding_pictures runs/g2l docs/results       # writes g2l_score_map.png, g2l_spans.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from gera_jax.moments import plots
from gera_jax.moments.task import best_spans, scorer
from gera_jax.ops import temporal_iou
from gera_jax.training import load_run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--recording", type=int, default=0, help="which of the test recordings")
    args = parser.parse_args()
    run = load_run(args.run)
    data = run.task.load(run.config, tables=None)
    recording = data.splits["test"][args.recording]
    queries = data.of(np.array([recording]))
    scores = scorer(run.model, data)(run.params, queries)
    found = best_spans(run.model, data, queries, scores, keep=1)[:, 0]
    texts = [data.texts[q] for q in queries]
    duration = float(data.durations[recording])
    plots.found_spans(data.spans[queries], found, texts, duration=duration).savefig(args.output / "g2l_spans.png", dpi=110)
    there = np.isfinite(scores[0])
    seconds = run.model.proposals.spans[there] * duration / data.lengths[recording]
    q = int(np.argsort(temporal_iou(data.spans[queries], found))[len(queries) // 2])  # neither the best nor the worst
    figure = plots.score_map(seconds, scores[q][there], truth=data.spans[queries[q]], found=found[q], heading=texts[q])
    figure.savefig(args.output / "g2l_score_map.png", dpi=110)
    print(f"{data.ids[recording]}: {texts[q]}, overlap {temporal_iou(data.spans[queries[q]], found[q]):.2f}")


if __name__ == "__main__":
    main()
