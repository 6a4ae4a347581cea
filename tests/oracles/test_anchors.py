"""The numbers of sspc.md 3.11 against the oracles, the closed form of the limit, and what the comparisons must refuse."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles import anchors, contrastive
from tests.oracles.tools import agrees, check

S = np.array([[0.9, 0.1, 0.2, 0.0], [0.8, 0.7, 0.1, 0.0], [0.1, 0.2, 0.9, 0.3], [0.0, 0.6, 0.2, 0.5]])
WARM = [
    [0.680516, 0.408433, 0.465690, 0.445361],
    [0.610391, 0.592031, 0.390635, 0.406943],
    [0.364050, 0.417166, 0.689669, 0.529116],
    [0.345043, 0.582370, 0.454006, 0.618580],
]
WARM_SCALED = [[1, 0, 0.210439, 0.135723], [1, 0.916451, 0, 0.074207], [0, 0.163123, 1, 0.506930], [0, 0.867623, 0.398347, 1]]
COLD_SCALED = [[1, 0, 0.614076, 0.143334], [1, 0.994498, 0.055595, 0], [0, 0.136545, 1, 0.798323], [0, 0.886851, 0.268497, 1]]
MASK, QUEUE_MASK = np.array([True, False, True, True, True]), np.array([True, True, False])


def problem(seed=0, n=5, d=4, k=3, anchor_count=6, queue=3):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(n, d)), rng.normal(size=(n, k))
    held = dict(x_anchors=rng.normal(size=(anchor_count, d)), z_anchors=rng.normal(size=(anchor_count, k)))
    return x, z, held, dict(x_queue=rng.normal(size=(queue, d)), z_queue=rng.normal(size=(queue, k)))


def test_codes():
    got = anchors.multi_assignment(S, assignments=2, epsilon=0.5)
    wrong = dict(
        one_assignment=2 * anchors.multi_assignment(S, assignments=1, epsilon=0.5),
        first_slices=1 - got,
        one_scale=anchors.multi_assignment(S, assignments=2, epsilon=0.5, low=1.0),
        rescaled=WARM_SCALED,
        few=anchors.multi_assignment(S, assignments=2, epsilon=0.5, iterations=1),
    )
    check(got, WARM, 6, **wrong)
    check(anchors.multi_assignment(S, assignments=2, epsilon=0.5, rescale=True), WARM_SCALED, 6, raw=WARM, cold=COLD_SCALED)
    check(anchors.multi_assignment(S, assignments=2, rescale=True), COLD_SCALED, 6, warm=WARM_SCALED)


def test_codes_reach_the_closed_form():
    """To the printed digits at eps 0.5; at the published eps 20 iterations stay behind it, 400 do not."""
    options = dict(assignments=2, epsilon=0.5)
    check(anchors.multi_assignment_limit(S, **options), WARM, 5, effective=anchors.multi_assignment_limit(S, low=0.0, **options))
    long = anchors.multi_assignment(S, iterations=100, delta=0.0, **options)
    assert agrees(long, anchors.multi_assignment_limit(S, **options), 10)
    cold = dict(assignments=2, epsilon=0.07)
    limit = anchors.multi_assignment_limit(S, **cold)
    assert agrees(anchors.multi_assignment(S, iterations=400, delta=0.0, **cold), limit, 6)
    assert not agrees(anchors.multi_assignment(S, **cold), limit, 4)


def test_limit_meets_its_constraints():
    scores = np.random.default_rng(0).uniform(-1, 1, size=(10, 6))
    q = anchors.multi_assignment_limit(scores, assignments=2, epsilon=0.3)
    assert agrees(q.sum(1), np.full(10, 2.0), 9) and agrees(q.sum(0), np.full(6, 20 / 6), 9)
    rest = np.log(q / (1 - q)) - 0.75 * scores / 0.3
    additive = rest - rest.mean(0) - rest.mean(1, keepdims=True) + rest.mean()
    assert agrees(additive, np.zeros((10, 6)), 9)
    wrong = np.log(q / (1 - q)) - scores / 0.3
    assert not agrees(wrong - wrong.mean(0) - wrong.mean(1, keepdims=True) + wrong.mean(), np.zeros((10, 6)), 1)


def test_limit_depends_on_the_difference_of_scales():
    one = anchors.multi_assignment_limit(S, assignments=2, epsilon=0.4, low=0.25)
    two = anchors.multi_assignment_limit(S, assignments=2, epsilon=0.4 / 0.75, low=0.0)
    assert agrees(one, two, 10)
    loop = anchors.multi_assignment(S, assignments=2, epsilon=0.4 / 0.75, low=0.0, iterations=100, delta=0.0)
    assert agrees(loop, one, 8) and not agrees(loop, anchors.multi_assignment_limit(S, assignments=2, epsilon=0.4, low=0.0), 3)


def test_masked_rows_have_no_part_in_the_codes():
    mask = np.array([True, False, True, True])
    options = dict(assignments=2, epsilon=0.5)
    dirty = np.where(mask[:, None], S, np.nan)
    for codes in (anchors.multi_assignment, anchors.multi_assignment_limit):
        want = codes(S[mask], **options)
        got = codes(dirty, mask=mask, **options)
        assert np.array_equal(got[mask], want) and not np.any(got[~mask])
        assert not agrees(codes(S, **options)[mask], want, 3)
        assert not np.any(codes(dirty, mask=np.zeros(4, bool), **options))


def test_equal_scores_share_evenly():
    flat = np.full((4, 6), 0.3)
    check(anchors.multi_assignment(flat, assignments=2, iterations=100), np.full((4, 6), 1 / 3), 6)
    assert not agrees(anchors.multi_assignment(S, assignments=2), np.full((4, 4), 0.5), 1)


def test_binary_cross_entropy_of_both_links():
    s, q = np.array([[0.5, -0.2, 0.0, 0.1]]), np.array([[1.0, 0.0, 0.5, 0.2]])
    each = [anchors.consistency(s[:, [j]], q[:, [j]], link="exp") for j in range(4)]
    check(each, [0.0, 0.763103, 0.813262, 2.238528], 6)
    released, linear = (anchors.consistency(s, q, link=link) for link in ("exp", "linear"))
    check(released, 0.953723, 6, linear=linear, summed=4 * released)
    check(linear, 0.485013, 6, exp=released, temperature=anchors.consistency(s, q, temperature=0.2))


def test_contrastive_forms():
    """On similarities, and on rows that have them: info_nce with the margin before the scale."""
    x = np.array([[0.9, 0.2], [0.1, 0.8]])
    check(anchors.norm_softmax(x), 3.9599e-6, 10, halved=anchors.norm_softmax(x) / 2)
    check(
        anchors.masked_margin_softmax(x),
        0.808145,
        6,
        no_margin=anchors.masked_margin_softmax(x, margin=0.0),
        added=anchors.masked_margin_softmax(x, margin=-0.001),
    )
    rows = dict(x=x, y=np.eye(2))
    assert agrees(2 * contrastive.symmetric_info_nce(**rows, logit_scale=20.0), anchors.norm_softmax(x), 12)
    margin = 2 * contrastive.symmetric_info_nce(**rows, logit_scale=1.0, margin=0.001)
    assert agrees(margin, anchors.masked_margin_softmax(x), 12)
    warm = 2 * contrastive.symmetric_info_nce(**rows, logit_scale=5.0, margin=0.1)
    assert agrees(warm, anchors.norm_softmax(x - 0.1 * np.eye(2), temperature=0.2), 12)
    assert not agrees(warm, anchors.norm_softmax(x - 0.02 * np.eye(2), temperature=0.2), 4)


@pytest.mark.parametrize("link", ["linear", "exp"])
def test_anchor_consistency_is_the_sum_of_two_terms(link):
    x, z, held, _ = problem()
    s_x, s_z = anchors.anchor_scores(x, held["x_anchors"]), anchors.anchor_scores(z, held["z_anchors"])
    codes = [anchors.multi_assignment(s, assignments=3, rescale=True) for s in (s_x, s_z)]
    want = anchors.consistency(s_x, codes[1], link=link) + anchors.consistency(s_z, codes[0], link=link)
    own = anchors.consistency(s_x, codes[0], link=link) + anchors.consistency(s_z, codes[1], link=link)
    got = anchors.anchor_consistency(x, z, **held, link=link)
    raw = anchors.anchor_consistency(x, z, **held, link=link, rescale=False)
    fewer = anchors.anchor_consistency(x, z, **held, link=link, assignments=2)
    check(got, want, 10, own_codes=own, not_rescaled=raw, two_assignments=fewer)
    assert agrees(anchors.anchor_consistency(5 * x, z, **held, link=link), want, 10)  # rows are made unit here


def test_the_queue_changes_codes_and_is_not_scored():
    x, z, held, queues = problem()
    plain, full = anchors.anchor_consistency(x, z, **held), anchors.anchor_consistency(x, z, **held, **queues)
    assert not agrees(plain, full, 4)
    codes = anchors.both_codes(x, z, **held, **queues)
    long = [anchors.anchor_scores([*q, *v], a) for q, v, a in zip(queues.values(), (x, z), held.values(), strict=True)]
    for got, scores in zip(codes, long, strict=True):
        assert np.array_equal(got, anchors.multi_assignment(scores, assignments=3, rescale=True)[3:])
        assert not agrees(got, anchors.multi_assignment(scores, assignments=3, rescale=True)[:5], 2)
    empty = anchors.anchor_consistency(x, z, **held, **queues, queue_mask=np.zeros(3, bool))
    assert empty == plain


def test_masked_is_removed():
    x, z, held, queues = problem()
    options = dict(link="exp", epsilon=0.2)
    short = {k: v[QUEUE_MASK] for k, v in queues.items()}
    want = anchors.anchor_consistency(x[MASK], z[MASK], **held, **short, **options)
    assert not agrees(anchors.anchor_consistency(x, z, **held, **short, **options), want, 3)
    assert not agrees(anchors.anchor_consistency(x[MASK], z[MASK], **held, **queues, **options), want, 4)
    x[~MASK], z[~MASK] = np.nan, 1e30
    queues = {k: np.where(QUEUE_MASK[:, None], v, np.nan) for k, v in queues.items()}
    got = anchors.anchor_consistency(x, z, **held, **queues, queue_mask=QUEUE_MASK, mask=MASK, **options)
    assert got == want
    assert anchors.anchor_consistency(x, z, **held, mask=np.zeros(5, bool)) == 0.0


def test_held_codes_are_used():
    x, z, held, _ = problem()
    codes = anchors.both_codes(x, z, **held)
    assert anchors.anchor_consistency(x, z, **held, codes=codes) == anchors.anchor_consistency(x, z, **held)
    assert not agrees(anchors.anchor_consistency(x, z, **held, codes=codes[::-1]), anchors.anchor_consistency(x, z, **held), 3)
