"""The numbers of g2l.md 2.10 against the oracles, their identities, and what the comparisons must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import grounding
from tests.oracles.tools import accepted_faults, agrees, check, sigmoid, turned, unit

CIRCLE = turned([0, 20, 45, 75, 120, 180])
S, M = turned([10, 80]), turned([0, 60, 100])
S_MASK = np.array([[True, True], [True, False], [False, False]])
V_MASK = np.array([[True, True, False, True], [True] * 4, [True, True, True, False]])
FORMS = [dict(), dict(direction="pushing"), dict(form="released")]
every_form = pytest.mark.parametrize("options", FORMS, ids=["sparing", "pushing", "released"])


def problem(seed=0, r=3, s=2, n=4, d=5):
    rng = np.random.default_rng(seed)
    given = dict(similarity=rng.uniform(0.1, 1, size=(r, s, n)), iou=rng.uniform(0, 1, size=(r, s, n)))
    given["similarity"][:, :, 1] = 0.0
    given["iou"][:, :, 0] = 0.1
    return rng.normal(size=(r, s, d)), rng.normal(size=(r, n, d)), given


def cut(mask, rows, place):
    """The group's rows that exist."""
    return rows[place][mask[place]]


def test_geodesic_similarity():
    got = grounding.geodesic_similarity(CIRCLE, [0, 2], k=2)
    want = np.array([[1, 0.939693, 0.846000, 0.712026, 0, 0], [0.846000, 0.906308, 1, 0.866025, 0.573132, 0]])
    direct = np.where(CIRCLE @ CIRCLE.T >= 0.5, CIRCLE @ CIRCLE.T, 0.0)[[0, 2]]
    check(
        got,
        want,
        6,
        direct=direct,
        far=grounding.geodesic_similarity(CIRCLE, [0, 2], k=2, cutoff=0.6),
        other_sources=got[::-1],
        sparser=grounding.geodesic_similarity(CIRCLE, [0, 2], k=1),
    )
    assert agrees(1 - grounding.geodesic_similarity(CIRCLE, [0], k=2, cutoff=2.0)[0, 4], 0.580867, 6)


def test_edges_are_directed_and_of_the_raw_rows():
    """On a line 0, 1, 3 with k = 1 the last point looks at the middle one, which looks back only at the first."""
    angles = turned([0, 10, 35])
    got = grounding.geodesic_similarity(angles, [2, 0], k=1)
    assert got[0, 1] > 0.9 and got[0, 0] > 0.8 and got[1, 2] == 0.0 and got[1, 1] > 0.9
    scaled = angles * np.array([[1.0], [5.0], [1.0]])  # Euclidean neighbours of the rows as they are: 0 and 2 meet
    assert (
        grounding.geodesic_similarity(scaled, [0], k=1)[0, 1] == 0.0 and grounding.geodesic_similarity(scaled, [0], k=1)[0, 2] > 0
    )
    crowd = turned([0, 5, 10, 60])  # the last looks at the third, which has two nearer ones
    assert grounding.geodesic_similarity(crowd, [3, 2], k=2)[:, [2, 3]].tolist()[1][1] == 0.0
    assert grounding.geodesic_similarity(crowd, [3, 2], k=2)[0, 2] > 0.3
    twins = np.repeat(angles, 2, axis=0)
    assert agrees(grounding.geodesic_similarity(twins, [0], k=1)[0, :2], [1.0, 1.0], 9)


def test_geodesic_similarity_is_of_what_exists():
    mask = np.array([True, False, True, True, True, True])
    dirty = np.where(mask[:, None], CIRCLE, np.nan)
    got = grounding.geodesic_similarity(dirty, [0, 2, 1], k=2, mask=mask)
    want = grounding.geodesic_similarity(CIRCLE[mask], [0, 1], k=2)
    assert np.array_equal(got[:2][:, mask], want) and not np.any(got[:, 1]) and not np.any(got[2])
    assert not agrees(grounding.geodesic_similarity(CIRCLE, [0, 2], k=2)[:, mask], want, 3)


def test_moment_bce():
    """Cosines 1 and 0 at scale 10 with targets 0.5 and 0."""
    s, v, iou = np.array([[3.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[0.75, 0.3]])
    p = sigmoid(10.0)
    want = 0.5 * (-0.5 * math.log(p) - 0.5 * math.log(1 - p) - math.log(0.5))
    check(
        grounding.moment_bce(s, v, iou=iou),
        want,
        8,
        raw_iou=0.5 * (-0.75 * math.log(p) - 0.25 * math.log(1 - p) + math.log(2)),
        wide=grounding.moment_bce(s, v, iou=iou, iou_min=0.3, iou_max=0.7),
        summed=2 * want,
    )
    check(grounding.moment_bce(s, v, iou=iou, iou_min=0.3, iou_max=0.7), 0.5 * (-math.log(p) + math.log(2)), 8)
    s, v, given = problem()
    each = [
        grounding.moment_bce(cut(S_MASK, s, g), cut(V_MASK, v, g), iou=given["iou"][g][S_MASK[g]][:, V_MASK[g]]) for g in (0, 1)
    ]
    want = (6 * each[0] + 4 * each[1]) / 10
    clean = grounding.moment_bce(s, v, iou=given["iou"])
    s[~S_MASK], v[~V_MASK] = np.nan, 1e30
    got = grounding.moment_bce(s, v, iou=given["iou"], s_mask=S_MASK, v_mask=V_MASK)
    check(got, want, 10, unmasked=clean, mean_of_means=np.mean(each))
    assert grounding.moment_bce(s, v, iou=given["iou"], s_mask=0 * S_MASK, v_mask=V_MASK) == 0.0


def test_clean_contrast_by_hand():
    """Two positives of weight 1 and .5, a negative of weight 1 -+ .25 and one of another video; a high IoU is no negative."""
    s = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    v = np.array([turned([0, 60, 90, 30]), turned([60, 60, 60, 60])])
    g, u = np.array([[[1, 0.5, 0.25, 0.0]], [[1, 0, 0, 0]]]), np.array([[[0.9, 0.1, 0.2, 0.8]], [[0.9, 0.6, 0.6, 0.6]]])
    c, rest = np.exp(np.array([1.0, 0.5, 0.0])), 4 * math.exp(0.5)
    top = math.exp(math.sqrt(3) / 2)
    wants = {}
    for direction, omega in (("sparing", 0.75), ("pushing", 1.25)):
        total = c[0] + c[1] + omega * c[2] + rest
        first = (math.log(total / c[0]) + 0.5 * math.log(total / c[1])) / 1.5
        other = math.log((top + sum(np.exp(v[0][:, 1]))) / top)  # its own three other moments overlap: no negatives
        wants[direction] = (first + other) / 2
    for direction, want in wants.items():
        options = dict(similarity=g, iou=u, positives=2, temperature=1.0)
        got = grounding.geodesic_guided_contrastive(s, v, direction=direction, **options)
        more = grounding.geodesic_guided_contrastive(s, v, direction=direction, **{**options, "positives": 3})
        check(got, want, 10, other=next(w for d, w in wants.items() if d != direction), three_positives=more)


def test_released_contrast_by_hand():
    """One video, one positive: P = 10 e, one negative with the geodesic factor, two entries that are no negatives: exp(0)."""
    s, v = np.array([[[1.0, 0.0]]]), turned([0, 90, 45])[None]
    g, u = np.array([[[1.0, 0.4, 0.0]]]), np.array([[[0.9, 0.1, 0.6]]])
    positive, hard = 10 * math.e, 10 * 1.4 * 1.0 * 1.0  # e^0 (1 + .4) e^0
    want = math.log(math.exp(positive) + math.exp(hard) + 2 + 1e-6) - positive
    options = dict(form="released", similarity=g, iou=u)
    check(
        grounding.geodesic_guided_contrastive(s, v, positives=1, **options),
        want,
        12,
        no_factor=math.log(math.exp(positive) + math.exp(10) + 3) - positive,
    )
    warm = grounding.geodesic_guided_contrastive(s, v, positives=1, temperature=10.0, **options)
    p, h = math.e / 10, 0.14
    check(warm, math.log(math.exp(p) + math.exp(h) + 2 + 1e-6) - p, 9, dropped=math.log(math.exp(p) + math.exp(h)) - p)
    two = grounding.geodesic_guided_contrastive(s, v, positives=2, temperature=10.0, **options)
    q = 0.04  # the negative is the second positive as well
    total = math.log(math.exp(p) + math.exp(q) + math.exp(h) + 2 + 1e-6)
    check(two, total - (p + q) / 2, 9, one=warm)


def test_released_contrast_with_other_videos():
    """h = 1000 softmax, each half of H' only above its mean."""
    s, v = np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), np.stack([turned([10, 90]), turned([20, 100])])
    g, u = np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), np.array([[[0.9, 0.6]], [[0.6, 0.9]]])
    total = 0.0
    for a, target, others, tau in (([1, 0], 10, [20, 100], 1e4), ([0, 1], 100, [10, 90], 1e4)):
        near, like = turned(others) @ np.array(a), np.cos(np.deg2rad(np.array(others) - target))
        h = 1000 * np.exp(near) / np.exp(near).sum()
        hard = near * ((h > h.mean()) * like + (like > like.mean()) * h)
        p = math.exp(np.dot(a, turned([target])[0]))
        total += math.log(math.exp(p / tau) + 2 + sum(np.exp(hard / tau)) + 1e-6) - p / tau
    got = grounding.geodesic_guided_contrastive(s, v, similarity=g, iou=u, form="released", positives=1, temperature=1e4)
    alone = grounding.geodesic_guided_contrastive(
        s[:1], v[:1], similarity=g[:1], iou=u[:1], form="released", positives=1, temperature=1e4
    )
    check(got, total / 2, 9, alone=alone)


@every_form
def test_contrast_masked_is_removed(options):
    s, v, given = problem()
    options = dict(positives=2, **options)
    clean = grounding.geodesic_guided_contrastive(s, v, **given, **options)
    terms, counts = [], []
    for g in (0, 1):  # the group alone: the others' moments are put behind it as a group of no sentences
        rest = [cut(V_MASK, v, k) for k in range(3) if k != g]
        width = max(len(w) for w in (*rest, cut(V_MASK, v, g)))
        count = S_MASK[g].sum()
        pads = [np.pad(w, ((0, width - len(w)), (0, 0))) for w in (cut(V_MASK, v, g), *rest)]
        there = np.array([[j < len(w) for j in range(width)] for w in (cut(V_MASK, v, g), *rest)])
        own = {k: np.zeros((3, count, width)) for k in given}
        for k in given:
            own[k][0, :, : V_MASK[g].sum()] = given[k][g][S_MASK[g]][:, V_MASK[g]]
        sentences = np.concatenate([cut(S_MASK, s, g)[None], np.full((2, count, 5), np.nan)])
        only = np.array([[True] * count, [False] * count, [False] * count])
        terms.append(
            grounding.geodesic_guided_contrastive(sentences, np.stack(pads), **own, **options, s_mask=only, v_mask=there)
        )
        counts.append(count)
    want = np.average(terms, weights=counts)
    s[~S_MASK], v[~V_MASK] = np.nan, 1e30
    got = grounding.geodesic_guided_contrastive(s, v, **given, **options, s_mask=S_MASK, v_mask=V_MASK)
    check(got, want, 10, unmasked=clean, mean_of_groups=np.mean(terms))
    assert grounding.geodesic_guided_contrastive(s, v, **given, **options, s_mask=0 * S_MASK, v_mask=V_MASK) == 0.0


def test_moment_to_sentence_by_hand():
    """Two videos: the overlapping sentence of the same video is left out, the other one and the other video's stay."""
    s = np.array([turned([0, 10, 90]), turned([45, 45, 45])])
    v = np.array([turned([0, 180]), turned([90, 0])])
    iou = np.array([[[1.0, 0.0]] * 3, [[1.0, 0.0]] * 3])
    near = np.array([[1.0, 0.6, 0.1], [0.6, 1.0, 0.1], [0.1, 0.1, 1.0]])
    mask = np.array([[True, False, False], [True, False, False]])
    options = dict(iou=iou, sentence_iou=np.stack([near, near]), margin=0.2, temperature=1.0)
    e = [math.exp(w) for w in (0.8, math.cos(math.pi / 4), 0.0)]
    first = -math.log(e[0] / (e[0] + e[1]))
    second = -math.log(math.exp(math.cos(math.pi / 4) - 0.2) / (math.exp(math.cos(math.pi / 4) - 0.2) + 1.0))
    got = grounding.moment_to_sentence(s, v, s_mask=mask, **options)
    check(got, (first + second) / 2, 10, no_margin=grounding.moment_to_sentence(s, v, s_mask=mask, **{**options, "margin": 0.0}))
    more = np.array([[True, True, True], [True, False, False]])
    logits = [math.log(sum(e) + 0.0) - 0.8]  # sentence 0 against 2 (0) and the other video's; 1 overlaps it
    logits.append(math.log(math.exp(math.cos(math.radians(10)) - 0.2) + e[1] + 1.0) - math.cos(math.radians(10)) + 0.2)
    logits.append(math.log(math.exp(-0.2) + math.e + math.exp(math.cos(math.radians(10))) + e[1]) + 0.2)
    own = math.cos(math.pi / 4) - 0.2
    logits.append(math.log(math.exp(own) + sum(math.exp(math.sin(math.radians(w))) for w in (0, 10, 90))) - own)
    check(grounding.moment_to_sentence(s, v, s_mask=more, **options), np.mean(logits), 10)


def test_rewards_and_interactions():
    check(grounding.coalition_value(S, M, {0, 1}, {0, 1, 2}), 0.436612, 6, pair=grounding.coalition_value(S, M, {0}, {0}))
    assert grounding.coalition_value(S, M, {0}, {1}) == 1.0 and grounding.coalition_value(S, M, set(), {0, 1}) == 0.0
    phi = [[-0.010599, -0.046938, 0.024752], [0.030004, -0.061328, -0.061328]]
    released = [-0.135989, -0.118547, -0.288048, -0.243109, -0.228306, -0.147522]
    check(grounding.leave_out_interaction(S, M), phi, 6, released=np.reshape(released, (3, 2)).T)
    check(
        grounding.released_interaction(S, M),
        released,
        6,
        intended=np.ravel(np.transpose(phi)),
        sentence_major=np.reshape(released, (3, 2)).T.ravel(),
    )


def test_exact_indices():
    index = [[0.175822, 0.157652, 0.193497], [0.193738, 0.148072, 0.148072]]
    banzhaf = [[0.016382, -0.001787, 0.034058], [0.033107, -0.012560, -0.012560]]
    check(grounding.interaction_index(S, M), index, 6, banzhaf=banzhaf, leave_out=grounding.leave_out_interaction(S, M))
    check(grounding.interaction_index(S, M, kind="banzhaf"), banzhaf, 6, shapley=index)
    values = grounding.shapley_values(S, M)
    check(values, [0.253254, 0.239699, 0.001625, -0.040932, -0.017035], 6, equal=np.full(5, 0.436612 / 5))
    assert agrees(values.sum(), grounding.coalition_value(S, M, {0, 1}, {0, 1, 2}), 12)


def test_shapley_loss():
    """From the printed interactions: - (2 / 3) sum q log A; the released one is negated and pairs A's rows with q's columns."""
    log_a = np.log(grounding.assignment(S @ M.T))
    phi = grounding.leave_out_interaction(S, M)
    q = phi / np.sqrt((phi**2).sum())
    want = -2 / 3 * (q * log_a).sum()
    got = grounding.shapley_interaction(4 * S, M)
    check(
        got, want, 10, raw=-2 / 3 * (phi * log_a).sum(), no_factor=1.5 * want, sum_to_one=-2 / 3 * (phi / phi.sum() * log_a).sum()
    )
    listed = grounding.released_interaction(S, M)
    length = np.sqrt((listed**2).sum())
    released = 2 / 3 * (listed / length * log_a.ravel()).sum()
    paired = 2 / 3 * (listed.reshape(3, 2).T / length * log_a).sum()
    check(grounding.shapley_interaction(S, M, form="released"), released, 10, paired=paired, intended=got)
    assert grounding.shapley_interaction(S, M, labels=grounding.intended_labels(S, M)) == grounding.shapley_interaction(S, M)
    assert not agrees(grounding.shapley_interaction(S, M, labels=[phi[::-1]]), want, 3)


def test_equal_players_have_no_interaction():
    """A sentence that has a twin changes no value; rounding must not become a label of length 1."""
    assert grounding.shapley_interaction(np.repeat(S[:1], 3, axis=0), M) == 0.0
    assert grounding.shapley_interaction(S, np.repeat(M[:1], 3, axis=0)) == 0.0
    assert abs(grounding.shapley_interaction(S, M)) > 0.1


@pytest.mark.parametrize("form", ["intended", "released"])
def test_shapley_masked_is_removed(form):
    s, v, _ = problem()
    each = [grounding.shapley_interaction(cut(S_MASK, s, g), cut(V_MASK, v, g), form=form) for g in (0, 1)]
    clean = grounding.shapley_interaction(s, v, form=form)
    s[~S_MASK], v[~V_MASK] = np.nan, 1e30
    got = grounding.shapley_interaction(s, v, form=form, s_mask=S_MASK, v_mask=V_MASK)
    want, other = (sum(each), np.mean(each)) if form == "released" else (np.mean(each), sum(each))
    check(got, want, 10, other_reduction=other, unmasked=clean)
    assert grounding.shapley_interaction(s, v, form=form, s_mask=0 * S_MASK, v_mask=V_MASK) == 0.0


def test_temporal_iou():
    check(grounding.temporal_iou((0, 4), (2, 6)), 1 / 3, 10, of_the_sum=1 / 4, of_the_first=1 / 2)
    assert [grounding.temporal_iou(*v) for v in (((0, 1), (1, 2)), ((0, 1), (3, 4)), ((2, 2), (2, 2)))] == [0.0, 0.0, 0.0]
    assert grounding.temporal_iou((1, 3), (1, 3)) == 1.0 and grounding.temporal_iou((0, 4), (1, 2)) == 0.25


def test_suppression_and_recall():
    segments, scores = [(0, 4), (0, 5), (5, 8), (4, 8), (20, 21)], [0.5, 0.9, 0.8, 0.7, 0.1]
    assert grounding.temporal_nms(segments, scores, threshold=0.5) == [1, 2, 4]  # .8 with 1, .75 with 2
    assert grounding.temporal_nms(segments, scores, threshold=0.8) == [1, 2, 3, 0, 4]  # at the threshold it stays
    assert grounding.temporal_nms(segments, scores, threshold=0.0) == [1, 2, 4]
    options = dict(ns=(1, 2), ious=(0.5, 0.7), nms=0.5)
    got = grounding.grounding_recall([scores, scores], segments, [(5, 9), (0, 4)], **options)
    assert got == {(1, 0.5): 0.5, (1, 0.7): 0.5, (2, 0.5): 1.0, (2, 0.7): 1.0}
    far = grounding.grounding_recall([scores, scores], segments, [(5, 9), (2, 6)], **options)
    assert far == {(1, 0.5): 0.5, (1, 0.7): 0.0, (2, 0.5): 1.0, (2, 0.7): 0.5}
    own = grounding.grounding_recall([scores], [segments[::-1]], [(0, 4)], **options)
    assert own != grounding.grounding_recall([scores], [segments], [(0, 4)], **options)
    check(grounding.grounding_score([1.0, 0.0, -1.0], [0.5, 0.5, 0.5]), [0.5, 0.5 * math.sqrt(0.5), 0.0], 10)


def test_the_comparison_can_fail():
    """Every fault of `accepted_faults` is accepted by a comparison to -3 decimals, none by one to 6."""
    want = np.array([[1.0, 2.0], [3.0, 5.0]])
    assert set(accepted_faults(want, -3)) >= {"factor 2", "half", "sign", "constant", "reversed", "transposed"}
    assert accepted_faults(want, 6) == [] and not agrees(want[0], want, 6) and not agrees(np.full((2, 2), np.nan), want, -9)
    assert agrees(unit([0.0, 0.0]), [0.0, 0.0], 9)
