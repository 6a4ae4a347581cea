"""Losses and measures of video grounding as loops (g2l.md 2.2-2.6, 2.8). One group is one video: sentences and moments."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tools import cosine, dot, kept, logsumexp, mean, softplus, squared_distance, unit


def _groups(s, v, s_mask, v_mask, *others):
    """Per group the rows that exist: (sentences, moments, each other array cut to them)."""
    s, v = np.asarray(s, np.float64), np.asarray(v, np.float64)
    flat = [a.reshape(-1, *a.shape[-2:]) for a in (s, v, *(np.asarray(o, np.float64) for o in others))]
    for g in range(len(flat[0])):
        rows = kept(None if s_mask is None else np.reshape(s_mask, (-1, s.shape[-2]))[g], s.shape[-2])
        columns = kept(None if v_mask is None else np.reshape(v_mask, (-1, v.shape[-2]))[g], v.shape[-2])
        yield flat[0][g][rows], flat[1][g][columns], *(a[g][np.ix_(rows, columns)] for a in flat[2:])


def moment_bce(s, v, *, iou, iou_min=0.5, iou_max=1.0, logit_scale=10.0, s_mask=None, v_mask=None):
    """Mean over sentence-moment pairs of the cross-entropy of sigmoid(scale cos) against the clipped, stretched IoU."""
    terms = []
    for sentences, moments, u in _groups(s, v, s_mask, v_mask, iou):
        for i, a in enumerate(sentences):
            for j, b in enumerate(moments):
                y = min(max((u[i, j] - iou_min) / (iou_max - iou_min), 0.0), 1.0)
                logit = logit_scale * cosine(a, b)
                terms.append(softplus(logit) - y * logit)
    return mean(terms)


def geodesic_similarity(v, source, *, k=5, cutoff=0.5, mask=None) -> np.ndarray:
    """[S, N]: 1 - D where the shortest directed path from the source is at most the cutoff, else 0. Plain Dijkstra."""
    v = np.asarray(v, np.float64)
    nodes = kept(mask, len(v))
    edges = {}
    for i in nodes:
        near = sorted((j for j in nodes if j != i), key=lambda j: (squared_distance(v[i], v[j]), j))[:k]
        edges[i] = {j: max(1.0 - cosine(v[i], v[j]), 0.0) for j in near}
    out = np.zeros((len(source), len(v)))
    for row, start in enumerate(source):
        if start not in edges:
            continue
        distance, done = {int(start): 0.0}, set()
        while len(done) < len(distance):
            here = min((d, i) for i, d in distance.items() if i not in done)[1]
            done.add(here)
            for j, length in edges[here].items():
                distance[j] = min(distance.get(j, math.inf), distance[here] + length)
        for j, d in distance.items():
            out[row, j] = 1.0 - d if d <= cutoff else 0.0
    return out


def _clean(a, moments, g, u, others, *, positives, temperature, sign) -> float | None:
    """One sentence: weighted cross-entropy of the positives; negatives weigh 1 + sign g, other groups' moments 1."""
    order = sorted(range(len(moments)), key=lambda j: (-g[j], j))
    chosen = [j for j in order[:positives] if g[j] > 0]
    if not chosen:
        return None
    logits = [cosine(a, b) / temperature for b in moments]
    parts = [logits[j] for j in chosen]
    for j in range(len(moments)):
        if j not in chosen and u[j] < 0.5 and 1 + sign * g[j] > 0:
            parts.append(logits[j] + math.log(1 + sign * g[j]))
    parts += [cosine(a, b) / temperature for b in others]
    total = logsumexp(parts)
    return sum(g[j] * (total - logits[j]) for j in chosen) / sum(g[j] for j in chosen)


def _released(a, moments, g, u, others, *, positives, temperature) -> list[float]:
    """One sentence: the hard term of each positive, exponentials as logits, 0 for moments that are no negatives."""
    p = max(range(len(moments)), key=lambda j: u[j])
    e = [math.exp(cosine(a, b)) for b in moments]
    order = sorted(range(len(moments)), key=lambda j: (-g[j], j))[:positives]
    chosen = [g[j] * e[j] / temperature for j in order]
    parts = [*chosen, math.log(1e-6)]
    for j, b in enumerate(moments):
        apart = 0.0 if j == p else g[j]
        parts.append((e[j] * (1 + apart) * math.exp(cosine(moments[p], b)) if u[j] < 0.5 else 0.0) / temperature)
    if others:
        near = [cosine(a, b) for b in others]
        top = logsumexp(near)
        h = [1000 * math.exp(w - top) for w in near]
        c = [cosine(moments[p], b) for b in others]
        for w, hard, like in zip(near, h, c, strict=True):
            parts.append(w * ((hard > mean(h)) * like + (like > mean(c)) * hard) / temperature)
    total = logsumexp(parts)
    return [total - w for w in chosen]


def geodesic_guided_contrastive(
    s,
    v,
    *,
    similarity,
    iou,
    form="clean",
    positives=5,
    temperature=0.1,
    direction="sparing",
    s_mask=None,
    v_mask=None,
):
    """Mean over sentences (clean), over sentence-positive pairs (released). A sentence without a positive has no part."""
    groups = list(_groups(s, v, s_mask, v_mask, similarity, iou))
    terms: list[float] = []
    for place, (sentences, moments, g, u) in enumerate(groups):
        others = [b for other, group in enumerate(groups) if other != place for b in group[1]]
        if not len(moments):
            continue
        for i, a in enumerate(sentences):
            shared = dict(positives=positives, temperature=temperature)
            if form == "released":
                terms += _released(a, moments, g[i], u[i], others, **shared)
                continue
            value = _clean(a, moments, g[i], u[i], others, sign=-1.0 if direction == "sparing" else 1.0, **shared)
            terms += [] if value is None else [value]
    return mean(terms)


def moment_to_sentence(
    s,
    v,
    *,
    iou,
    sentence_iou,
    positives=1,
    margin=0.3,
    temperature=0.1,
    s_mask=None,
    v_mask=None,
):
    """Each sentence's best moments pick it among the batch's sentences, less those of its group that overlap it by 0.5."""
    groups = list(_groups(s, v, s_mask, v_mask, iou))
    own = list(_groups(s, s, s_mask, s_mask, sentence_iou))
    terms = []
    for place, (sentences, moments, u) in enumerate(groups):
        for i in range(len(sentences)):
            for p in sorted(range(len(moments)), key=lambda j: (-u[i, j], j))[:positives]:
                logits = [(cosine(moments[p], sentences[i]) - margin) / temperature]
                for other, group in enumerate(groups):
                    for k, b in enumerate(group[0]):
                        if other != place or (k != i and own[place][2][i, k] < 0.5):
                            logits.append(cosine(moments[p], b) / temperature)
                terms.append(logsumexp(logits) - logits[0])
    return mean(terms)


def assignment(logits) -> np.ndarray:
    """A: each row the softmax over its moments."""
    return np.array([[math.exp(w - logsumexp(row)) for w in row] for row in logits])


def _reward(logits) -> float:
    """Half of the moments' mean of the largest A plus half of the sentences'; 0 when a side is empty."""
    if not len(logits) or not len(logits[0]):
        return 0.0
    a = assignment(logits)
    return 0.5 * (mean(max(a[:, j]) for j in range(a.shape[1])) + mean(max(row) for row in a))


def _cosines(s, v) -> np.ndarray:
    return np.array([[cosine(a, b) for b in v] for a in s]).reshape(len(s), len(v))


def coalition_value(s, v, sentences, moments) -> float:
    """The reward of these sentences and moments alone."""
    return _reward(_cosines([s[i] for i in sorted(sentences)], [v[j] for j in sorted(moments)]))


def leave_out_interaction(s, v) -> np.ndarray:
    """phi_ij = v(all) - v(all less i) - v(all less j) + v(all less both), rows = sentences."""
    rows, columns = set(range(len(s))), set(range(len(v)))

    def value(drop_rows, drop_columns):
        return coalition_value(s, v, rows - drop_rows, columns - drop_columns)

    return np.array(
        [
            [value(set(), set()) - value({i}, set()) - value(set(), {j}) + value({i}, {j}) for j in range(len(v))]
            for i in range(len(s))
        ]
    )


def released_interaction(s, v) -> np.ndarray:
    """The published signs and removal: -1e9 in every coordinate; listed moment by moment."""
    s, v = ([unit(row) for row in w] for w in (s, v))
    gone = np.full(len(s[0]), -1e9)

    def value(i, j):
        rows = [gone if a == i else row for a, row in enumerate(s)]
        columns = [gone if b == j else row for b, row in enumerate(v)]
        return _reward([[dot(a, b) for b in columns] for a in rows])

    whole = value(None, None)
    return np.array([whole - value(None, j) + value(i, None) - value(i, j) for j in range(len(v)) for i in range(len(s))])


def shapley_interaction(s, v, *, form="intended", s_mask=None, v_mask=None, labels=None):
    """Intended: mean over groups of -(S / m) sum q log A, q = phi / |phi|. Released: the sum of the negated, mispaired one.

    `labels`, a list of phi, holds the intended form's labels still: they are constants in its gradient.
    """
    losses = []
    for sentences, moments in _groups(s, v, s_mask, v_mask):
        if not len(sentences) or not len(moments):
            continue
        phi = (released_interaction if form == "released" else leave_out_interaction)(sentences, moments)
        if labels is not None:
            phi = labels[len(losses)]
        phi = phi.reshape(-1)  # moment by moment in the released form, against a sentence by sentence
        length = math.sqrt(sum(w * w for w in phi))
        log_a = np.log(assignment(_cosines(sentences, moments))).reshape(-1)
        entropy = -len(sentences) / len(moments) * sum(q * w for q, w in zip(phi, log_a, strict=True))
        losses.append(entropy / length if length > 1e-14 else 0.0)  # equal players: rounding is no label
    return -sum(losses) if form == "released" else mean(losses)


def intended_labels(s, v, *, s_mask=None, v_mask=None) -> list[np.ndarray]:
    return [leave_out_interaction(a, b) for a, b in _groups(s, v, s_mask, v_mask) if len(a) and len(b)]


def _coalitions(players):
    for bits in range(2 ** len(players)):
        yield {p for place, p in enumerate(players) if bits >> place & 1}


def _game(s, v):
    """The value of a set of players: sentences are 0 .. S - 1, moments follow."""
    cache: dict[frozenset, float] = {}

    def value(coalition):
        key = frozenset(coalition)
        if key not in cache:
            cache[key] = coalition_value(s, v, {p for p in key if p < len(s)}, {p - len(s) for p in key if p >= len(s)})
        return cache[key]

    return value


def shapley_values(s, v) -> np.ndarray:
    """Each player's mean marginal contribution over orders, by enumeration."""
    n, value = len(s) + len(v), _game(s, v)
    out = []
    for p in range(n):
        total = 0.0
        for c in _coalitions([q for q in range(n) if q != p]):
            weight = math.factorial(len(c)) * math.factorial(n - len(c) - 1) / math.factorial(n)
            total += weight * (value(c | {p}) - value(c))
        out.append(total)
    return np.array(out)


def interaction_index(s, v, *, kind="shapley") -> np.ndarray:
    """[S, m]: the weighted second differences over all coalitions without the pair; "banzhaf" weighs all alike."""
    n, value = len(s) + len(v), _game(s, v)
    out = np.zeros((len(s), len(v)))
    for i in range(len(s)):
        for b in range(len(v)):
            j = len(s) + b
            for c in _coalitions([q for q in range(n) if q not in (i, j)]):
                weight = math.factorial(len(c)) * math.factorial(n - len(c) - 2) / math.factorial(n - 1)
                if kind == "banzhaf":
                    weight = 0.5 ** (n - 2)
                out[i, b] += weight * (value(c | {i, j}) - value(c | {i}) - value(c | {j}) + value(c))
    return out


def temporal_iou(a, b) -> float:
    """Overlap over union of two segments (start, end); 0 where the union is empty."""
    lengths = [max(float(e) - float(st), 0.0) for st, e in (a, b)]
    common = max(min(float(a[1]), float(b[1])) - max(float(a[0]), float(b[0])), 0.0)
    union = sum(lengths) - common
    return common / union if union > 0 else 0.0


def temporal_nms(segments, scores, *, threshold) -> list[int]:
    """Best first; a segment that overlaps a kept one by more than the threshold goes."""
    kept_places: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if all(temporal_iou(segments[i], segments[k]) <= threshold for k in kept_places):
            kept_places.append(i)
    return kept_places


def grounding_score(contrastive_cosine, probability, *, power=0.5) -> np.ndarray:
    return np.array([((1 + c) / 2) ** power * p for c, p in zip(contrastive_cosine, probability, strict=True)])


def grounding_recall(scores, segments, targets, *, ns=(1, 5), ious=(0.3, 0.5, 0.7), nms=0.5) -> dict[tuple[int, float], float]:
    """Share of queries with one of the top n segments, after suppression, at IoU >= m. segments: [N, 2] or one set a query."""
    segments = np.asarray(segments, np.float64)
    hits: dict[tuple[int, float], list[float]] = {(n, m): [] for n in ns for m in ious}
    for q, target in enumerate(targets):
        own = segments if segments.ndim == 2 else segments[q]
        order = temporal_nms(own, scores[q], threshold=nms)
        for (n, m), found in hits.items():
            found.append(float(any(temporal_iou(own[i], target) >= m for i in order[:n])))
    return {key: mean(found) for key, found in hits.items()}
