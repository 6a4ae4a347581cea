"""Time of one GeRA step beside an idiomatic PyTorch version, CPU time of one thread, both in one run.

    python -m benchmarks.step_time            # needs torch

1024 pairs, 256 anchors of 17 points a modality, heads 1280/384 -> 256, AdamW; the clip-art set, all training rows.
The PyTorch step is what one writes: cat(pairs, neighbourhoods) through nn.Linear, cdist, median, the operator, autograd.
`distinct rows` is the same step of ours on a pool so large that hardly a row repeats (no gain from projecting a row once).
"""

from __future__ import annotations

from benchmarks import _one_thread  # noqa: F401

# isort: split
import json
import statistics
import time

import jax
import numpy as np
import torch

from gera_jax import config, training
from gera_jax.data import Table

PAIRS, ANCHORS, KNN, DIM, REPEATS = 1024, 256, 16, 256, 15


def gera_config(**data) -> object:
    c = config.load("gera")
    c.data.update(data)
    c.data.update(pairs=PAIRS)
    c.data.split.update(val=100, test=100)
    for side in ("x", "y"):
        c.data.preprocess[side].update(pca=0)
        c.data.preprocess[side].filter.strength = 0.0
    c.model.update(dim=DIM, learn_temperature=True, init="random")
    c.batch.update(pairs=PAIRS, anchors=ANCHORS)
    return c


class TorchStep:
    def __init__(self, widths: list[int]):
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.heads = torch.nn.ModuleList([torch.nn.Linear(width, DIM) for width in widths])
        self.log_scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.05), dtype=torch.float32))
        self.optimizer = torch.optim.AdamW([*self.heads.parameters(), self.log_scale], lr=3e-4)

    @staticmethod
    def operator(points: torch.Tensor) -> torch.Tensor:
        squared = torch.cdist(points, points).square()
        m = points.shape[1]
        off = ~torch.eye(m, dtype=torch.bool)
        bandwidth = 2 * squared.detach()[:, off].median(dim=1).values[:, None, None]
        kernel = torch.exp(-squared / bandwidth.clamp_min(1e-12))
        degree = kernel.sum(2)
        kernel = kernel / (degree[:, :, None] * degree[:, None, :])
        root = kernel.sum(2).sqrt()
        return kernel / (root[:, :, None] * root[:, None, :])

    def __call__(self, pairs: list[torch.Tensor], neighbourhoods: list[torch.Tensor]) -> float:
        z, loss = [], 0.0
        for head, x, blocks in zip(self.heads, pairs, neighbourhoods, strict=True):
            anchors, m, width = blocks.shape
            out = torch.nn.functional.normalize(head(torch.cat([x, blocks.reshape(-1, width)])), dim=1)
            z.append(out[: len(x)])
            with torch.no_grad():
                target = self.operator(blocks)
            difference = target - self.operator(out[len(x) :].reshape(anchors, m, DIM))
            off = target * (1 - torch.eye(m))
            loss = loss + (difference.square().sum((1, 2)) / off.square().sum((1, 2))).mean()
        logits = z[0] @ z[1].T * self.log_scale.exp().clamp_max(100)
        labels = torch.arange(len(logits))
        cross = torch.nn.functional.cross_entropy
        loss = loss + (cross(logits, labels) + cross(logits.T, labels)) / 2
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.heads.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())


def cpu_ms(act, repeats: int = REPEATS) -> float:
    for _ in range(3):
        act()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        act()
        times.append(1e3 * (time.process_time() - began))
    return statistics.median(times)


def ours(experiment) -> tuple[float, float]:
    state = experiment.init_state()
    batches = [experiment.batch(step) for step in range(4)]
    count = iter(range(10**9))

    def step():
        nonlocal state
        state, metrics = experiment.train_step(state, batches[next(count) % 4])
        jax.block_until_ready(metrics["loss"])

    def sample():
        experiment.batch(next(count))

    return cpu_ms(step), cpu_ms(sample)


def main() -> None:
    experiment = training.build(gera_config())
    batch = experiment.batch(0)
    names = experiment.data.names
    pairs = [torch.tensor(batch[f"rows.{n}"][0][batch[f"pairs.{n}"][0]]) for n in names]
    neighbourhoods = [torch.tensor(batch[f"rows.{n}"][0][batch[f"neighbours.{n}"][0]]) for n in names]
    theirs = TorchStep([p.shape[1] for p in pairs])

    rng = np.random.default_rng(0)
    tables = tuple(
        Table(rows=rng.normal(size=(40_000, width)).astype(np.float32), ids=np.arange(40_000), name=name)
        for name, width in (("image", 1280), ("text", 384))
    )
    large = gera_config(source="arrays", unpaired="same_set")
    for graph in large.graphs.values():
        graph.max_rows = 8_000
    distinct = training.build(large, tables=tables)

    result = dict(
        torch_step_ms=cpu_ms(lambda: theirs(pairs, neighbourhoods)),
        **dict(zip(("gera_jax_step_ms", "gera_jax_batch_ms"), ours(experiment), strict=True)),
        **dict(zip(("distinct_rows_step_ms", "distinct_rows_batch_ms"), ours(distinct), strict=True)),
        rows={name: int(batch[f"rows.{name}"].shape[1]) for name in names},
        torch_gather_ms=cpu_ms(
            lambda: [torch.tensor(batch[f"rows.{n}"][0])[torch.tensor(batch[f"neighbours.{n}"][0]).long()] for n in names]
        ),
    )
    result["ratio_step"] = result["gera_jax_step_ms"] / result["torch_step_ms"]
    result["ratio_step_and_batch"] = (result["gera_jax_step_ms"] + result["gera_jax_batch_ms"]) / (
        result["torch_step_ms"] + result["torch_gather_ms"]
    )
    result["ratio_distinct_rows"] = result["distinct_rows_step_ms"] / result["torch_step_ms"]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
