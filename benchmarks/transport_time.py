"""Mixing and balanced assignment: CPU time of one thread beside PyTorch, in one run.

    python -m benchmarks.transport_time                # needs torch

m2: value and gradient of the geodesic mixup loss. multi_assignment: codes alone, 20 iterations; PyTorch keeps all K slices, as
published, and again only the two that differ, which is the same saving without XLA.
"""

from __future__ import annotations

import torch

from benchmarks.loss_time import Race, main, unit_rows
from gera_jax import losses, transport


def m2() -> Race:
    """2048 x 512, lam 0.3."""
    lam, scale = 0.3, 1 / 0.07

    def theirs(x, y):
        angle = torch.arccos((x * y).sum(1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6))
        mixed = (torch.sin(lam * angle) * x + torch.sin((1 - lam) * angle) * y) / torch.sin(angle)
        rows, positive = torch.arange(len(x)), scale * (x * y).sum(1)
        total = 0.0
        for side in (x, y):
            logits = scale * side @ mixed.T
            logits = logits.masked_fill(torch.eye(len(x), dtype=torch.bool), 0.0) + torch.diag(positive)
            total = total + torch.nn.functional.cross_entropy(logits, rows)
        return total

    x = unit_rows(0, 2048, 512)
    y = torch.nn.functional.normalize(torch.tensor(x + unit_rows(1, 2048, 512)), dim=1).numpy()
    return Race(lambda x, y: losses.geodesic_mixup_contrastive(x, y, lam=lam, logit_scale=scale), theirs, (x, y), (0, 1))


def balanced(scores: torch.Tensor, scales: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The published iteration; slice s stands for counts[s] equal ones."""
    epsilon, delta, (b, k) = 0.07, 1e-5, scores.shape
    counts = counts[:, None, None]
    a = torch.exp(scales[:, None, None] * scores / epsilon)
    a /= (counts * a).sum()
    for _ in range(20):
        a *= (b / k) / (a.sum(1, keepdim=True) + delta)
        a /= (counts * a).sum(0, keepdim=True) + delta
        a /= a.sum(2, keepdim=True) + delta
    a /= a.sum(2, keepdim=True)
    return a


def multi_assignment() -> Race:
    """64 anchors, 4096 rows, 20 iterations, against 64 slices."""

    def theirs(scores):
        return balanced(scores, torch.tensor([0.25] * 32 + [1.0] * 32), torch.ones(64))[32:].sum(0)

    return Race(_codes, theirs, (unit_rows(0, 4096, 64),), ())


def multi_assignment_two_slices() -> Race:
    """The same against 2 slices in PyTorch."""

    def theirs(scores):
        return 32 * balanced(scores, torch.tensor([0.25, 1.0]), torch.tensor([32.0, 32.0]))[1]

    return Race(_codes, theirs, (unit_rows(0, 4096, 64),), ())


def _codes(scores):
    return transport.multi_assignment(scores, assignments=32).codes


RACES = {entry.__name__: entry for entry in (m2, multi_assignment, multi_assignment_two_slices)}

if __name__ == "__main__":
    main(RACES)
