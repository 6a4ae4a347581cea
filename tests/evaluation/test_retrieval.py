"""Retrieval metrics and FOSCTTM against slow loops, known answers, ties, NaN and groups."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError
from gera_jax.evaluation import ranks
from tests.evaluation import oracles


def noisy_pairs(n=37, d=9, noise=1.0, seed=0, dtype: type = np.float64):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x.astype(dtype), (x + noise * rng.normal(size=(n, d))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("block_size", [1, 5, 1024])
def test_ranks_equal_argsort(dtype, block_size):
    x, y = noisy_pairs(dtype=dtype)
    got = evaluation.retrieval_metrics(x, y, ks=(1, 3), block_size=block_size)
    scores = oracles.cosine_scores(x, y)
    for key, matrix in (("x_to_y", scores), ("y_to_x", scores.T)):
        rank = oracles.argsort_ranks(matrix)
        assert got[f"{key}/R@1"] == np.mean(rank <= 1)
        assert got[f"{key}/R@3"] == np.mean(rank <= 3)
        assert got[f"{key}/median_rank"] == np.median(rank)
        assert got[f"{key}/mean_rank"] == pytest.approx(np.mean(rank), abs=1e-12)
        assert got[f"{key}/MRR"] == pytest.approx(np.mean(1 / rank), abs=1e-12)
        assert got[f"{key}/MRR"] != pytest.approx(1 / np.mean(rank), abs=1e-2)
    assert got["mean/R@1"] == (got["x_to_y/R@1"] + got["y_to_x/R@1"]) / 2
    # companions: the directions differ here, so a transposed or a shuffled implementation cannot pass
    assert np.any(oracles.argsort_ranks(scores) != oracles.argsort_ranks(scores.T))
    assert got["x_to_y/mean_rank"] != got["y_to_x/mean_rank"]
    assert evaluation.retrieval_metrics(x, y[::-1])["mean/R@1"] < got["mean/R@1"]


def test_scores_and_embeddings_agree():
    x, y = noisy_pairs()
    from_rows = evaluation.retrieval_metrics(x, y, names=("image", "text"))
    from_scores = evaluation.retrieval_metrics_from_scores(oracles.cosine_scores(x, y), names=("image", "text"))
    assert from_rows == from_scores
    assert set(from_rows) == {
        f"{way}/{key}"
        for way in ("image_to_text", "text_to_image", "mean")
        for key in ("R@1", "R@5", "R@10", "median_rank", "mean_rank", "MRR")
    }
    assert all(type(value) is float for value in from_rows.values())
    assert from_rows != evaluation.retrieval_metrics_from_scores(-oracles.cosine_scores(x, y), names=("image", "text"))


def test_known_answers():
    eye = np.eye(12)
    perfect = evaluation.retrieval_metrics(eye, eye)
    assert perfect["mean/R@1"] == 1 and perfect["mean/median_rank"] == 1
    reversed_ = evaluation.retrieval_metrics_from_scores(-eye)
    assert reversed_["mean/R@10"] == 0 and reversed_["mean/mean_rank"] == 12
    rng = np.random.default_rng(0)
    chance = evaluation.retrieval_metrics(rng.normal(size=(400, 8)), rng.normal(size=(400, 8)))
    assert chance["mean/R@10"] == pytest.approx(10 / 400, abs=0.02)
    assert chance["mean/mean_rank"] == pytest.approx(401 / 2, rel=0.08)
    assert perfect["mean/R@10"] != pytest.approx(10 / 400, abs=0.02)


def test_ties_take_the_mean_rank():
    got = evaluation.retrieval_metrics_from_scores(np.zeros((9, 9)), ks=(1, 4, 5))
    assert got["mean/mean_rank"] == got["mean/median_rank"] == 5
    assert (got["mean/R@1"], got["mean/R@4"], got["mean/R@5"]) == (0, 0, 1)
    scores = np.round(np.random.default_rng(1).normal(size=(30, 30)))
    own = np.arange(30)
    got = evaluation.retrieval_metrics_from_scores(scores)
    assert got["x_to_y/mean_rank"] == pytest.approx(np.mean(oracles.best_ranks(scores, own, own)), abs=1e-12)
    # companions: neither the optimistic nor the pessimistic rank
    best = np.mean(1 + np.sum(scores > np.diag(scores)[:, None], axis=1))
    worst = np.mean(np.sum(scores >= np.diag(scores)[:, None], axis=1))
    assert best + 0.5 < got["x_to_y/mean_rank"] < worst - 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [3, 129])
def test_a_collapsed_model_is_all_ties_despite_rounding(dtype, d):
    row = np.random.default_rng(d).normal(size=(1, d))
    x = np.repeat(row, 101, axis=0).astype(dtype)
    got = evaluation.retrieval_metrics(x, x, block_size=7)
    assert got["mean/mean_rank"] == 51 and got["mean/R@10"] == 0
    assert evaluation.foscttm(x, x, block_size=7) == 0.5
    assert evaluation.retrieval_metrics(np.zeros((11, 4)), np.zeros((11, 4)))["mean/mean_rank"] == 6


def test_nan_is_never_a_success():
    bad = np.full((5, 4), np.nan)
    for got in (
        evaluation.retrieval_metrics(bad, bad, ks=(1, 5, 100)),
        evaluation.retrieval_metrics_from_scores(np.full((5, 5), np.nan), ks=(1, 5, 100)),
    ):
        assert [got[f"mean/R@{k}"] for k in (1, 5, 100)] == [0, 0, 0]
        assert got["mean/median_rank"] == got["mean/mean_rank"] == 5
    assert evaluation.foscttm(bad, bad) == evaluation.foscttm_from_scores(np.full((5, 5), np.nan)) == 1
    one = np.eye(5)
    one[2] = np.nan  # one broken row: that query fails, the other four are untouched
    got = evaluation.retrieval_metrics(one, np.eye(5))
    assert got["x_to_y/R@1"] == got["y_to_x/R@1"] == 0.8
    one[2] = np.inf
    assert evaluation.retrieval_metrics(one, np.eye(5))["mean/R@1"] == 0.8
    assert evaluation.retrieval_metrics(np.eye(5), np.eye(5))["mean/R@1"] == 1  # companion


def test_nan_beside_a_good_caption_does_not_hide_it():
    scores = np.array([[np.nan, 0.9, 0.1], [0.2, 0.1, 0.8]])
    got = evaluation.retrieval_metrics_from_scores(scores, x_groups=[0, 1], y_groups=[0, 0, 1], ks=(1,))
    assert got["x_to_y/R@1"] == 1
    assert got["y_to_x/R@1"] == pytest.approx(2 / 3)


@pytest.fixture(params=[False, True], ids=["whole", "tiles"])
def tiled(request, monkeypatch):
    """With True, galleries that no block holds: tiles of at most 5 queries and 7 candidates."""
    if request.param:
        monkeypatch.setattr(ranks, "BLOCK_ENTRIES", 35)
        monkeypatch.setattr(ranks, "TILE_COLUMNS", 7)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("block_size", [3, 1024])
def test_groups_equal_the_slow_loop(ties, block_size, tiled):
    rng = np.random.default_rng(3)
    x_groups = rng.permutation(np.concatenate([np.arange(10), rng.integers(0, 10, 7)])) * 11
    y_groups = rng.permutation(np.concatenate([np.arange(10), rng.integers(0, 10, 25)])) * 11
    scores = rng.normal(size=(17, 35)) + (x_groups[:, None] == y_groups)
    scores = np.round(scores) if ties else scores
    got = evaluation.retrieval_metrics_from_scores(scores, x_groups=x_groups, y_groups=y_groups, ks=(1, 4), block_size=block_size)
    for key, args in (("x_to_y", (scores, x_groups, y_groups)), ("y_to_x", (scores.T, y_groups, x_groups))):
        rank = oracles.best_ranks(*args)
        assert got[f"{key}/mean_rank"] == pytest.approx(np.mean(rank), abs=1e-12)
        assert got[f"{key}/R@1"] == pytest.approx(np.mean(rank <= 1), abs=1e-12)
        assert got[f"{key}/R@4"] == pytest.approx(np.mean(rank <= 4), abs=1e-12)
    want = (oracles.one_way_foscttm(scores, x_groups, y_groups) + oracles.one_way_foscttm(scores.T, y_groups, x_groups)) / 2
    value = evaluation.foscttm_from_scores(scores, x_groups=x_groups, y_groups=y_groups, block_size=block_size)
    assert value == pytest.approx(want, abs=1e-12)
    wrong = evaluation.foscttm_from_scores(scores, x_groups=x_groups, y_groups=y_groups[::-1])
    assert wrong != pytest.approx(want, abs=1e-3)


def test_many_captions_by_rows():
    images = np.eye(4)
    texts = np.concatenate([np.eye(4)[::-1], np.eye(4)])  # caption 4 + i is right, caption i is not
    groups = np.concatenate([np.arange(4), np.arange(4)])
    got = evaluation.retrieval_metrics(images, texts, x_groups=np.arange(4), y_groups=groups, ks=(1, 2))
    # the caption of another item that equals mine ties with my own good one
    assert got["x_to_y/mean_rank"] == 1.5 and got["x_to_y/R@1"] == 0 and got["x_to_y/R@2"] == 1
    assert got["y_to_x/R@1"] == 0.5


def test_foscttm_known_answers():
    eye = np.eye(20)
    assert evaluation.foscttm(eye, eye) == 0
    assert evaluation.foscttm_from_scores(-eye) == 1
    angle = 2 * np.pi * np.arange(20) / 20
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert evaluation.foscttm(circle, -circle) == 1
    rng = np.random.default_rng(0)
    random = evaluation.foscttm(rng.normal(size=(300, 5)), rng.normal(size=(300, 5)))
    assert random == pytest.approx(0.5, abs=0.03)
    groups = np.arange(100) % 10  # ten right rows a query: chance stays 1/2
    grouped = evaluation.foscttm(rng.normal(size=(100, 5)), rng.normal(size=(100, 5)), x_groups=groups, y_groups=groups)
    assert grouped == pytest.approx(0.5, abs=0.03)
    assert evaluation.foscttm(*noisy_pairs(n=100)) != pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("block_size", [4, 1024])
def test_foscttm_equals_the_loop(block_size):
    x, y = noisy_pairs(noise=2.0)
    own = np.arange(len(x))
    scores = oracles.cosine_scores(x, y)
    want = (oracles.one_way_foscttm(scores, own, own) + oracles.one_way_foscttm(scores.T, own, own)) / 2
    assert evaluation.foscttm(x, y, block_size=block_size) == pytest.approx(want, abs=1e-12)
    assert oracles.one_way_foscttm(scores, own, own) != pytest.approx(want, abs=1e-4)  # one direction is not the mean


def test_scale_does_not_matter():
    x, y = noisy_pairs(dtype=np.float32)
    want = evaluation.retrieval_metrics(x, y)
    assert evaluation.retrieval_metrics(x * np.float32(1e-30), y * np.float32(1e30)) == want
    assert evaluation.retrieval_metrics(x * np.arange(1, 38, dtype=np.float32)[:, None], y) == want


def test_a_block_never_holds_the_whole_matrix(monkeypatch):
    x, y = noisy_pairs()
    groups = dict(x_groups=np.arange(37) // 3, y_groups=np.arange(37)[::-1] // 3)
    want = [f(x, y, **g) for f in (evaluation.retrieval_metrics, evaluation.foscttm) for g in ({}, groups)]
    shapes = []
    tile = ranks.Product.tile

    def seen(self, *slices):
        found = tile(self, *slices)
        shapes.append(found.shape)
        return found

    monkeypatch.setattr(ranks.Product, "tile", seen)
    monkeypatch.setattr(ranks, "BLOCK_ENTRIES", 35)
    monkeypatch.setattr(ranks, "TILE_COLUMNS", 7)
    assert want == [f(x, y, **g) for f in (evaluation.retrieval_metrics, evaluation.foscttm) for g in ({}, groups)]
    assert max(rows * columns for rows, columns in shapes) <= 35 and {shape[1] for shape in shapes} == {6, 7}


@pytest.mark.parametrize("width", [64, 300, 512, 2048])
def test_equal_rows_tie_wherever_they_lie(width, monkeypatch):
    """Rounding differs between products of other sizes by up to 6 units in the last place, more than what counts as a tie."""
    monkeypatch.setattr(ranks, "BLOCK_ENTRIES", 2**16)
    monkeypatch.setattr(ranks, "TILE_COLUMNS", 256)
    x = np.random.default_rng(0).normal(size=(385, width)).astype(np.float32)
    x = np.concatenate([x, x])
    assert evaluation.retrieval_metrics(x, x)["mean/mean_rank"] == 1.5
    assert evaluation.foscttm(x, x) == pytest.approx(0.5 / 769, rel=1e-12)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (dict(x=np.ones((3, 2)), y=np.ones((4, 2))), "y rows: got 4 rows against 3 rows of x; wanted equal row counts"),
        (dict(x=np.ones((3, 2)), y=np.ones((3, 5))), "y width: got 5 against 2 of x; wanted rows of one shared space"),
        (dict(x=np.ones(3), y=np.ones((3, 5))), r"x: got shape \(3,\); wanted \[rows, width\]"),
        (dict(x=np.ones((0, 2)), y=np.ones((0, 2))), "x: got 0 rows; wanted at least 1 row"),
        (dict(x=np.ones((2, 2)), y=np.ones((2, 2)), x_groups=[0, 1]), "y_groups: got None; wanted the item number"),
        (
            dict(x=np.ones((2, 2)), y=np.ones((2, 2)), x_groups=[0, 1, 2], y_groups=[0, 1]),
            r"x_groups: got shape \(3,\); wanted one item number for each of the 2 rows",
        ),
        (
            dict(x=np.ones((2, 2)), y=np.ones((2, 2)), x_groups=[0, 7], y_groups=[0, 0]),
            r"x_groups: got 1 of 2 queries with no right row among y \(first: row \[1\]\).*Drop those queries",
        ),
        (dict(x=np.ones((2, 2)), y=np.ones((2, 2)), ks=(0,)), r"ks: got \(0,\); wanted a sequence of one or more whole numbers"),
        (dict(x=np.ones((2, 2)), y=np.ones((2, 2)), block_size=0), "block_size: got 0; wanted at least 1"),
    ],
)
def test_bad_input(kwargs, words):
    with pytest.raises(InputError, match=words):
        evaluation.retrieval_metrics(**kwargs)


def test_foscttm_needs_a_wrong_row():
    with pytest.raises(InputError, match="a query to which every row is a right answer"):
        evaluation.foscttm(np.ones((1, 2)), np.ones((1, 2)))
