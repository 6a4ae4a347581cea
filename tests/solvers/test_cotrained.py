"""Co-trained heads: known answers, the score that the rows encode, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.aligners.aligner import Aligner
from gera_jax.checks import InputError
from gera_jax.solvers import Baseline, CotrainedHeads, RidgeCCA, WassersteinProcrustes, regularization_rule
from gera_jax.solvers.auto.search import density, nearest, nearest_both, neighbour_mean
from gera_jax.solvers.auto.views import Kernel, Pool, Smoothed


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def clusters(seed=0, n=340, noise=0.25):
    """Two views of points in 12 clusters; each view has its own within-cluster noise dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, 5))
    z = centres[rng.integers(12, size=n)] + 0.3 * rng.normal(size=(n, 5))
    x = np.tanh(z @ rng.normal(size=(5, 14))) + noise * rng.normal(size=(n, 14)) + 2
    return x, np.tanh(z @ rng.normal(size=(5, 10))) + noise * rng.normal(size=(n, 10)) - 1


def split(p=16, seed=0):
    x, y = clusters(seed)
    return dict(x_pairs=x[:p], y_pairs=y[:p], x=x[p:140], y=y[140:280]), x[280:], y[280:]


def foscttm(scores):
    own = np.diag(scores)
    return ((scores > own[:, None]).mean() + (scores > own[None]).mean()) / 2


@pytest.fixture(scope="module")
def fitted():
    train, x, y = split()
    return CotrainedHeads().fit(**train), train, x, y


def test_a_hidden_rotation_is_found():
    rng = np.random.default_rng(1)
    x, rotation = rng.normal(size=(120, 6)), np.linalg.qr(rng.normal(size=(6, 6)))[0]
    y = x @ rotation
    found = CotrainedHeads().fit(x[:30], y[:30], x=x[30:60], y=y[60:90])
    best = found.similarity(x[90:], y[90:]).argmax(axis=1)
    assert np.mean(best == np.arange(30)) > 0.95
    wrong = CotrainedHeads().fit(x[:30], np.roll(y[:30], 1, axis=0), x=x[30:60], y=y[60:90])  # companion
    assert np.mean(wrong.similarity(x[90:], y[90:]).argmax(axis=1) == np.arange(30)) < 0.3


def test_unpaired_rows_help():
    gains = []
    for seed in range(4):
        train, x, y = split(p=10, seed=seed)
        alone = RidgeCCA().fit(train["x_pairs"], train["y_pairs"])
        gains.append(foscttm(alone.similarity(x, y)) - foscttm(CotrainedHeads().fit(**train).similarity(x, y)))
    assert np.mean(gains) > 0.01, gains


def test_the_interface_and_unit_rows(fitted):
    model, _, x, y = fitted
    assert isinstance(model, Baseline)
    zx, zy = model.transform_x(x), model.transform_y(y)
    assert zx.shape[1] == zy.shape[1]
    np.testing.assert_allclose(np.linalg.norm(zx, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(zy, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(zx @ zy.T, model.similarity(x, y), atol=1e-6)


def test_a_row_is_embedded_by_itself(fitted):
    model, _, x, y = fitted
    batch = model.transform_x(x[:6]), model.transform_y(y[:6])
    single = [
        np.concatenate([f(rows[i : i + 1]) for i in range(6)]) for f, rows in ((model.transform_x, x), (model.transform_y, y))
    ]
    np.testing.assert_allclose(single[0], batch[0], atol=1e-5)
    np.testing.assert_allclose(single[1], batch[1], atol=1e-5)


def test_the_same_rows_give_the_same_heads(fitted):
    model, train, x, _ = fitted
    np.testing.assert_array_equal(CotrainedHeads().fit(**train).transform_x(x), model.transform_x(x))


def test_one_plain_view_is_ridge_cca():
    train, x, y = split(p=60)
    only = dict(views=("plain",), rounds=0, matching=0.0, expansion=0.0, hubness=0.0)
    got = CotrainedHeads(**only).fit(**train).similarity(x, y)
    pools = [Pool(train[f"{n}_pairs"], train[n], 256) for n in "xy"]
    rows = [pool.rows.astype(np.float64) for pool in pools]
    reference = RidgeCCA(regularization=regularization_rule(60)).fit(rows[0][:60], rows[1][:60], rows[0][60:], rows[1][60:])
    want = reference.similarity(pools[0].coordinates(x), pools[1].coordinates(y))
    np.testing.assert_allclose(got, want, atol=2e-3)  # directions below 1 % of the first are left out
    other = CotrainedHeads(regularization=0.5, **only).fit(**train).similarity(x, y)  # companion
    assert np.abs(other - want).max() > 1e-2


def test_rows_encode_the_corrected_score():
    """Differences of similarities are those of score - hubness * (d(x) + d(y)), up to one factor."""
    train, x, y = split()
    options = dict(views=("plain", "kernel"), expansion=0.0)  # "smoothed" sees a pool row without itself, not a new row
    plain, corrected = (CotrainedHeads(hubness=h, **options).fit(**train) for h in (0.0, 0.5))
    pools = (np.concatenate([train["x_pairs"], train["x"]]), np.concatenate([train["y_pairs"], train["y"]]))
    score = plain.similarity(x, y)
    best = [np.sort(s, axis=1)[:, -10:].mean(axis=1) for s in (plain.similarity(x, pools[1]), plain.similarity(pools[0], y).T)]
    want = score - 0.5 * best[0][:, None] - 0.5 * best[1][None]
    got = corrected.similarity(x, y)

    def standard(s):
        return (s - s.mean()) / s.std()

    np.testing.assert_allclose(standard(got), standard(want), atol=1e-3)
    assert np.abs(standard(score) - standard(want)).max() > 0.1  # companion: not corrected


def skewed(p, n=400, seed=0):
    """A cloud whose shape tells its rotation, and its rotated copy; p pairs, other items as unpaired rows, 100 test rows."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(2 * n + 100 + p, 4)) * np.linspace(1, 2, 4)
    y = x @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return dict(x_pairs=x[:p], y_pairs=y[:p], x=x[p : n + p], y=y[n + p : 2 * n + p]), x[-100:], y[-100:]


def test_matching_finds_a_rotation_that_the_pairs_cannot_tell():
    for seed in range(3):
        train, x, y = skewed(2, seed=seed)  # 2 pairs for a rotation of 4 dimensions
        without, matched = (foscttm(CotrainedHeads(matching=m).fit(**train).similarity(x, y)) for m in (0.0, 0.5))
        assert matched < 0.03 and without > 0.05  # heads of one dimension tie most rows, so how far off it is is chance
    rng = np.random.default_rng(0)
    shapeless = {name: unit(rng.normal(size=train[name].shape)) for name in "xy"}  # companion: balls tell no rotation
    assert foscttm(CotrainedHeads().fit(**{**train, **shapeless}).similarity(x, y)) > 0.05


def test_the_matching_is_a_term_of_the_score():
    train, x, y = split()
    options = dict(rounds=0, expansion=0.0, hubness=0.0, views=("plain", "kernel"))
    without, matched = (CotrainedHeads(matching=m, **options).fit(**train) for m in (0.0, 0.5))
    pools = [Pool(train[f"{name}_pairs"], train[name], 512) for name in "xy"]
    rows = [pool.rows.astype(np.float64) for pool in pools]
    rotations = [
        WassersteinProcrustes(pair_mass=5.0, restarts=n).fit(rows[0][:16], rows[1][:16], rows[0][16:], rows[1][16:])
        for n in (0, 10)
    ]

    def match(x, y):
        x = np.concatenate([x @ rotation.x_weights + rotation.x_offset for rotation in rotations], axis=1)
        y = np.concatenate([y @ rotation.y_weights + rotation.y_offset for rotation in rotations], axis=1)
        return unit(x) @ unit(y).T

    known = [np.concatenate([train[f"{name}_pairs"], train[name]]) for name in "xy"]
    trust = (140 + 156 - 2 * 16) / 2 / 400
    assert matched.matching_used == pytest.approx(0.5 * trust)
    parts = [
        (without.similarity(x, y), without.similarity(*known)),
        (match(pools[0].coordinates(x), pools[1].coordinates(y)), match(*rows)),
    ]
    (score, matching), got = (part / pool.std() for part, pool in parts), matched.similarity(x, y)

    def standard(s):
        return (s - s.mean()) / s.std()

    np.testing.assert_allclose(standard(got), standard(score + matched.matching_used * matching), atol=2e-3)
    assert np.abs(standard(got) - standard(score)).max() > 0.05  # companion


def test_the_matching_teaches_too():
    train, _, _ = split()
    without, matched = (CotrainedHeads(matching=m).fit(**train)._heads for m in (0.0, 0.5))
    assert len(without) == 6 and len(matched) == 7  # three views after co-training and before it, the matching
    same = [np.array_equal(a.weights[0], b.weights[0]) for (*_, a), (*_, b) in zip(without, matched, strict=False)]
    assert same == [False] * 3 + [True] * 3


def test_matching_is_for_few_pairs_with_unpaired_rows_of_both():
    def used(p, keep=("x", "y"), **options):
        train, _, _ = skewed(p, n=450)
        train = {name: rows for name, rows in train.items() if name.endswith("pairs") or name in keep}
        return CotrainedHeads(rounds=0, expansion=0.0, hubness=0.0, shrink=np.inf, **options).fit(**train).matching_used

    assert [used(p) for p in (2, 20, 50, 100)] == [0.5, 0.5, pytest.approx(0.2), 0.0]
    assert used(20, matching=0.25) == 0.25
    assert used(20, keep=("x",)) == used(20, keep=()) == used(20, matching=0.0) == used(20, views=("kernel",)) == 0.0


def test_a_narrower_space_keeps_the_score(fitted):
    model, train, x, y = fitted
    want, few, tiny = model.similarity(x, y), CotrainedHeads(width=40).fit(**train), CotrainedHeads(width=3).fit(**train)
    zx, zy = few.transform_x(x), few.transform_y(y)
    assert zx.shape[1] == zy.shape[1] == 40 < model.transform_x(x).shape[1]
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([zx, zy]), axis=1), 1, atol=1e-5)
    assert np.corrcoef(want.ravel(), (zx @ zy.T).ravel())[0, 1] > 0.99
    assert np.corrcoef(want.ravel(), tiny.similarity(x, y).ravel())[0, 1] < 0.9  # companion: one direction is too few
    all_of_them = CotrainedHeads(width=10_000).fit(**train)
    assert all_of_them.transform_x(x).shape[1] <= 142  # no more than the pool has rows, and the two of the length


def test_features_of_the_pool_are_not_kept(fitted):
    model, _, _, _ = fitted
    assert not any(hasattr(view, "pool") for sides in model._views for view in sides)
    heads = sum(side.nbytes for side in model._pool_heads)  # companion: what transforms need is there
    assert heads < model.size_bytes < 4 * heads


def test_expansion_changes_rows_only_where_asked():
    train, x, y = split()
    none, some = (CotrainedHeads(expansion=e).fit(**train).similarity(x, y) for e in (0.0, 0.15))
    assert np.corrcoef(none.ravel(), some.ravel())[0, 1] > 0.9
    assert np.abs(none - some).max() > 1e-3


@pytest.mark.parametrize("keep", [(), ("x",), ("y",)])
def test_unpaired_rows_are_optional(keep):
    train, x, y = split(p=30)
    train = {name: rows for name, rows in train.items() if name.endswith("pairs") or name in keep}
    assert foscttm(CotrainedHeads().fit(**train).similarity(x, y)) < 0.3


def test_two_pairs_are_enough():
    train, x, y = split(p=2)
    assert np.isfinite(CotrainedHeads().fit(**train).similarity(x, y)).all()
    assert np.isfinite(CotrainedHeads().fit(train["x_pairs"], train["y_pairs"]).similarity(x, y)).all()


def test_scale_and_shift_of_a_modality_do_not_matter(fitted):
    model, train, x, y = fitted
    moved = dict(train, x_pairs=1000 * train["x_pairs"] + 5, x=1000 * train["x"] + 5)
    other = CotrainedHeads().fit(**moved).similarity(1000 * x + 5, y)
    np.testing.assert_allclose(other, model.similarity(x, y), atol=2e-3)


def test_large_pools_are_thinned_evenly():
    train, x, y = split()
    model = CotrainedHeads(max_pool=60).fit(**train)
    assert model.pool_rows == (60, 60) and model.size_bytes < CotrainedHeads().fit(**train).size_bytes
    assert foscttm(model.similarity(x, y)) < 0.35


def test_neighbour_means_equal_loops():
    rng = np.random.default_rng(3)
    q, k, v, shift = rng.normal(size=(5, 4)), rng.normal(size=(9, 4)), rng.normal(size=(9, 3)), rng.normal(size=9)
    got = neighbour_mean(q, k, v, k=3, temperature=0.7, shift=shift)
    for i in range(5):
        scores = q[i] @ k.T - shift
        top = np.argsort(-scores)[:3]
        w = np.exp(scores[top] / 0.7)
        np.testing.assert_allclose(got[i], w @ v[top] / w.sum(), rtol=1e-5)
        assert sorted(nearest(q, k, 3, shift=shift)[0][i]) == sorted(top)
    np.testing.assert_allclose(
        density(q, np.tile(k, (2, 1))), np.sort(np.tile(q @ k.T, 2), axis=1)[:, -10:].mean(axis=1), rtol=1e-5
    )
    own = nearest(k, k, 2, exclude_self=True)[0]
    assert not (own == np.arange(9)[:, None]).any()


@pytest.mark.parametrize("k", [3, 1500])
def test_one_product_gives_the_neighbours_of_both_sides(k):
    """More rows than a block, so that columns are merged; 1,500 is more than a block and than one side has."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2100, 3)), rng.normal(size=(1300, 3))
    shifts = dict(x_shift=rng.normal(size=2100), y_shift=rng.normal(size=1300))
    for found, a, b, shift in zip(nearest_both(x, y, k, **shifts), (x, y), (y, x), ("y_shift", "x_shift"), strict=True):
        scores = a @ b.T - shifts[shift]
        want = np.sort(scores, axis=1)[:, -min(k, len(b)) :]
        np.testing.assert_allclose(np.sort(found[1], axis=1), want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.take_along_axis(scores, found[0], axis=1), found[1], rtol=1e-5, atol=1e-5)
        assert np.abs(np.sort(a @ b.T, axis=1)[:, -want.shape[1] :] - want).max() > 0.1  # companion: no shift


def test_kernel_features_multiply_to_the_nystrom_kernel():
    x, _ = clusters(n=90)
    pool = Pool(x[:20], x[20:60], 14)
    view, new = Kernel(pool), pool.coordinates(x[60:])
    landmarks = pool.rows.astype(np.float64)

    def kernel(a, b):
        return np.exp(a @ b.T - 1)

    cross = kernel(new, landmarks)
    want = cross @ np.linalg.solve(kernel(landmarks, landmarks) + 60e-6 * np.eye(60), cross.T)
    got = view(new) + view._mean
    np.testing.assert_allclose(got @ got.T, want, atol=1e-4)
    assert np.abs(want - kernel(new, new)).max() > 1e-3  # companion: the kernel itself


def test_a_pool_row_is_smoothed_as_a_new_row_would_be():
    x, _ = clusters(n=40)
    pool, rest = Pool(x[:30], x[:0], 8), np.arange(1, 30)
    view = Smoothed(pool, k=4)
    cosine = pool.rows[0] @ pool.rows[rest].T
    top = rest[np.argsort(-cosine)[:4]]
    w = np.exp(pool.rows[0] @ pool.rows[top].T / 0.1)
    smooth = unit(0.5 * pool.rows[:1] + 0.5 * (w @ pool.rows[top] / w.sum()))
    want = np.concatenate([pool.rows[:1], smooth], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(view.pool[:1] + view._mean, want, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(y_pairs=np.ones((3, 10))), "y_pairs: got 3 rows beside 16 of x_pairs; wanted as many rows"),
        (dict(x_pairs=np.ones((16, 14))), "x_pairs: got rows that are all equal; wanted rows that differ"),
        (dict(x_pairs=np.ones((1, 14)), y_pairs=np.ones((1, 10))), "x_pairs: got 1 pairs; wanted at least 2 pairs"),
        (dict(y=np.full((3, 10), np.nan)), "y: got 3 rows with NaN or infinity"),
        (dict(x=np.ones((3, 5))), "x: got width 5; wanted width 14"),
        (dict(x_pairs=5 + np.eye(16)[:, :1], x=-np.eye(40)[:, :1]), "x_pairs: got rows of one direction from the mean"),
    ],
)
def test_bad_rows_are_refused(change, words):
    train, _, _ = split()
    with pytest.raises(InputError, match="got") as error:
        CotrainedHeads().fit(**{**train, **change})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(views=("plane",)), 'did you mean "plain"'),
        (dict(views=()), "views: got none"),
        (dict(rounds=-1), "rounds: got -1; wanted at least 0"),
        (dict(pseudo_weight=1.0), "pseudo_weight: got 1.0; wanted a number in [0, 1)"),
        (dict(matching=-0.5), "matching: got -0.5; wanted a number >= 0"),
        (dict(hubness=-1), "hubness: got -1; wanted a number >= 0"),
        (dict(expansion=float("nan")), "expansion: got nan; wanted a number >= 0"),
        (dict(dim=0), "dim: got 0; wanted at least 1"),
        (dict(width=2), "width: got 2; wanted None or an int >= 3"),
        (dict(width=64.0), "width: got 64.0; wanted None or an int >= 3"),
        (dict(max_pool=1), "max_pool: got 1; wanted at least 2"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError) as error:
        CotrainedHeads(**options)
    assert words.lower() in str(error.value).lower()


def test_transform_before_fit_is_refused():
    with pytest.raises(InputError, match="a call before fit"):
        CotrainedHeads().transform_x(np.ones((2, 3)))


def test_the_aligner_knows_it_and_hands_over_unpaired_rows():
    train, x, y = split()
    pairs = train["x_pairs"], train["y_pairs"]
    with_pool = Aligner("auto").fit(*pairs, train["x"], train["y"])
    assert with_pool._model.model.pool_rows == (140, 156)
    assert with_pool.score(x, y)["foscttm"] < 0.35
    assert Aligner("auto").fit(*pairs)._model.model.pool_rows == (16, 16)
