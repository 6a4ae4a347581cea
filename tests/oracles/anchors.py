"""Multi-assignment Sinkhorn over anchors and the losses built on it, as published loops (sspc.md 3.2-3.7)."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tools import dot, kept, logsumexp, mean, sigmoid, softplus, unit


def _min_max(row) -> np.ndarray:
    low, high = min(row), max(row)
    return (row - low) / (high - low) if high > low else 0.0 * row


def multi_assignment(
    scores,
    *,
    assignments,
    epsilon=0.07,
    iterations=20,
    low=0.25,
    high=1.0,
    delta=1e-5,
    rescale=False,
    mask=None,
):
    """The K slices written out: [rows, anchors] codes, the sum of the last `assignments` slices; masked rows are 0."""
    scores = np.asarray(scores, np.float64)
    rows, k = kept(mask, len(scores)), scores.shape[1]
    codes = np.zeros(scores.shape)
    if not rows:
        return codes
    b = len(rows)
    factors = [low if s < k - assignments else high for s in range(k)]
    exponents = np.array([[[f * scores[i, j] / epsilon for j in range(k)] for i in rows] for f in factors])
    a = np.exp(exponents - exponents.max())
    a = a / a.sum()
    for _ in range(iterations):
        for s in range(k):
            for j in range(k):
                a[s, :, j] *= (b / k) / (sum(a[s, :, j]) + delta)
        for i in range(b):
            for j in range(k):
                a[:, i, j] /= sum(a[:, i, j]) + delta
        for s in range(k):
            for i in range(b):
                a[s, i] /= sum(a[s, i]) + delta
    for s in range(k):
        for i in range(b):
            a[s, i] /= sum(a[s, i])
    for place, i in enumerate(rows):
        row = sum(a[s, place] for s in range(k - assignments, k))
        codes[i] = _min_max(row) if rescale else row
    return codes


def _level(row, total: float) -> float:
    """The shift at which the sigmoids of a row sum to `total`, by bisection."""
    a, b = -max(row) - 100.0, -min(row) + 100.0
    for _ in range(90):
        middle = 0.5 * (a + b)
        a, b = (middle, b) if sum(sigmoid(v + middle) for v in row) < total else (a, middle)
    return 0.5 * (a + b)


def multi_assignment_limit(scores, *, assignments, epsilon=0.07, low=0.25, high=1.0, mask=None, sweeps=60):
    """sigmoid((high - low) scores / epsilon + alpha_b + beta_j) with row sums R and column sums R B / K."""
    scores = np.asarray(scores, np.float64)
    rows, k = kept(mask, len(scores)), scores.shape[1]
    codes = np.zeros(scores.shape)
    if not rows:
        return codes
    s = np.array([(high - low) * scores[i] / epsilon for i in rows])
    alpha, beta = np.zeros(len(rows)), np.zeros(k)
    for _ in range(sweeps):
        beta = np.array([_level(s[:, j] + alpha, assignments * len(rows) / k) for j in range(k)])
        alpha = np.array([_level(s[i] + beta, assignments) for i in range(len(rows))])
    for place, i in enumerate(rows):
        codes[i] = [sigmoid(s[place, j] + alpha[place] + beta[j]) for j in range(k)]
    return codes


def anchor_scores(rows, anchors) -> np.ndarray:
    """Unit rows times unit anchors."""
    return np.array([[dot(unit(r), unit(a)) for a in anchors] for r in rows]).reshape(len(rows), len(anchors))


def consistency(scores, codes, *, temperature=0.1, link="linear", rows=None) -> float:
    """Mean over entries of the binary cross-entropy of sigmoid(link(scores / temperature)) against the codes."""
    rows = range(len(scores)) if rows is None else rows
    terms = []
    for i in rows:
        for s, q in zip(scores[i], codes[i], strict=True):
            logit = math.exp(s / temperature) if link == "exp" else s / temperature
            terms.append(softplus(logit) - q * logit)
    return mean(terms)


def anchor_codes(rows, anchors, *, queue=None, queue_mask=None, mask=None, **options) -> np.ndarray:
    """The batch's codes out of those of [queue; batch], over what exists."""
    batch = kept(mask, len(rows))
    waiting = [] if queue is None else [queue[i] for i in kept(queue_mask, len(queue))]
    codes = np.zeros((len(rows), len(anchors)))
    found = multi_assignment(anchor_scores([*waiting, *(rows[i] for i in batch)], anchors), **options)
    for place, i in enumerate(batch):
        codes[i] = found[len(waiting) + place]
    return codes


def both_codes(
    x,
    z,
    *,
    x_anchors,
    z_anchors,
    x_queue=None,
    z_queue=None,
    queue_mask=None,
    assignments=None,
    epsilon=0.07,
    iterations=20,
    rescale=True,
    mask=None,
    **_,
):
    """(codes of x, codes of z): constants in the gradient, so differences must hold them still."""
    shared = dict(
        assignments=len(x_anchors) // 2 if assignments is None else assignments,
        epsilon=epsilon,
        iterations=iterations,
        rescale=rescale,
        mask=mask,
        queue_mask=queue_mask,
    )
    return anchor_codes(x, x_anchors, queue=x_queue, **shared), anchor_codes(z, z_anchors, queue=z_queue, **shared)


def anchor_consistency(x, z, *, x_anchors, z_anchors, temperature=0.1, link="linear", mask=None, codes=None, **options):
    """ell(S_x, codes of z) + ell(S_z, codes of x); 0 without rows. `codes` holds both codes still."""
    rows = kept(mask, len(x))
    if not rows:
        return 0.0
    if codes is None:
        codes = both_codes(x, z, x_anchors=x_anchors, z_anchors=z_anchors, mask=mask, **options)
    shared = dict(temperature=temperature, link=link)
    sides = zip((x, z), (x_anchors, z_anchors), (codes[1], codes[0]), strict=True)
    return sum(consistency(anchor_scores([v[i] for i in rows], a), q[rows], **shared) for v, a, q in sides)


def _both_ways(s) -> float:
    """Cross-entropy of the diagonal along rows plus along columns, each a mean."""
    n = len(s)
    return sum(mean(logsumexp(t[i]) - t[i][i] for i in range(n)) for t in (s, s.T))


def norm_softmax(similarities, *, temperature=0.05):
    return _both_ways(np.asarray(similarities, np.float64) / temperature)


def masked_margin_softmax(similarities, *, margin=0.001):
    return _both_ways(np.asarray(similarities, np.float64) - margin * np.eye(len(similarities)))
