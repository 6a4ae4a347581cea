"""Slow loops, written from the definitions."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def cosine_scores(x, y):
    scores = np.zeros((len(x), len(y)))
    for i in range(len(x)):
        for j in range(len(y)):
            a, b = x[i].astype(float), y[j].astype(float)
            scores[i, j] = a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)
    return scores


def best_ranks(scores, query_groups, candidate_groups):
    """Rank of the best right row among itself and the wrong rows, ties averaged (scipy's rankdata)."""
    result = []
    for i in range(len(scores)):
        right = [j for j in range(scores.shape[1]) if candidate_groups[j] == query_groups[i]]
        wrong = [j for j in range(scores.shape[1]) if candidate_groups[j] != query_groups[i]]
        row = [max(scores[i, j] for j in right)] + [scores[i, j] for j in wrong]
        result.append(rankdata([-s for s in row], method="average")[0])
    return np.array(result)


def argsort_ranks(scores):
    """Rank of the diagonal by sorting; no ties."""
    return np.array([1 + list(np.argsort(-scores[i])).index(i) for i in range(len(scores))])


def one_way_foscttm(scores, query_groups, candidate_groups):
    per_query = []
    for i in range(len(scores)):
        right = [j for j in range(scores.shape[1]) if candidate_groups[j] == query_groups[i]]
        wrong = [j for j in range(scores.shape[1]) if candidate_groups[j] != query_groups[i]]
        shares = []
        for r in right:
            closer = sum(1.0 if scores[i, j] > scores[i, r] else 0.5 if scores[i, j] == scores[i, r] else 0.0 for j in wrong)
            shares.append(closer / len(wrong))
        per_query.append(np.mean(shares))
    return float(np.mean(per_query))


def neighbour_overlap(a, b, k):
    shared = []
    for i in range(len(a)):
        near = []
        for z in (a, b):
            scores = cosine_scores(z[i : i + 1], z)[0]
            scores[i] = -np.inf
            near.append(set(np.argsort(-scores)[:k]))
        shared.append(len(near[0] & near[1]) / k)
    return float(np.mean(shared))
