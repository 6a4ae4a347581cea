"""The trained view: its heads are flax's, it joins where it is asked for, and it can be stored."""

from __future__ import annotations

import logging
import pickle

import jax
import numpy as np
import pytest

import gera_jax
from gera_jax.aligners.aligner import Aligner
from gera_jax.models.two_tower import ResidualMLP
from gera_jax.solvers import CotrainedHeads
from gera_jax.solvers.auto import recipe, trained
from gera_jax.solvers.auto.trained import Trained, TrainedHeads


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A training of a second; the compiled function reads the constants when it is made."""
    for name, value in dict(DIM=16, HIDDEN=32, STEPS=(60, 60), WARMUP=5).items():
        monkeypatch.setattr(trained, name, value)
    trained._training.cache_clear()
    yield
    trained._training.cache_clear()


def rows(n=300, seed=0):
    """Two noisy views of a bent plane of 4 dimensions."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4))
    return tuple(
        (np.tanh(z @ rng.normal(size=(4, d))) + 0.05 * rng.normal(size=(n, d))).astype(np.float32) - 0.1 for d in (14, 10)
    )


def hit(scores):
    return np.mean(scores.argmax(axis=1) == np.arange(len(scores)))


@pytest.fixture
def fitted():
    x, y = rows()
    return Trained(x, y, 200, 0.5).fit(), x, y


def test_heads_in_numpy_are_those_of_flax(fitted):
    heads, x, y = fitted
    module = ResidualMLP(dim=16, hidden=32)
    for side, part in enumerate((x, y)):
        want = np.asarray(module.apply({"params": heads.params[side]}, part))
        want = want / np.linalg.norm(want, axis=1, keepdims=True)
        np.testing.assert_allclose(heads.apply(part, side) / heads.scale, want, atol=2e-5)
        wrong = np.asarray(module.apply({"params": heads.params[side]}, part + 1e-3))  # companion: other rows
        assert np.abs(wrong / np.linalg.norm(wrong, axis=1, keepdims=True) - want).max() > 1e-4


def test_training_learns_the_pairs_and_more(fitted):
    heads, x, y = fitted
    new = heads.apply(x[200:], 0) @ heads.apply(y[200:], 1).T
    assert hit(new) > 0.3  # of 100
    wrong = Trained(x, np.roll(y, 1, axis=0), 200, 0.5).fit()  # companion: wrong pairs
    assert hit(wrong.apply(x[200:], 0) @ wrong.apply(y[200:], 1).T) < 0.15


def test_the_same_rows_give_the_same_heads(fitted):
    heads, x, y = fitted
    again = Trained(x, y, 200, 0.5).fit()
    np.testing.assert_array_equal(heads.apply(x, 0), again.apply(x, 0))
    other = Trained(x, y, 199, 0.5).fit()  # companion: one pair less
    assert np.abs(heads.apply(x, 0) - other.apply(x, 0)).max() > 1e-3


def test_held_out_pairs_are_not_seen():
    x, y = rows()
    held = np.arange(0, 200, 4)
    (first,) = Trained(x, y, 200, 0.5).without([held])
    moved = y.copy()
    moved[held] = 7.0
    (same,) = Trained(x, moved, 200, 0.5).without([held])
    np.testing.assert_array_equal(first.apply(x, 0), same.apply(x, 0))
    moved[1] = 7.0  # companion: a pair of the fit
    (other,) = Trained(x, moved, 200, 0.5).without([held])
    assert np.abs(first.apply(x, 0) - other.apply(x, 0)).max() > 1e-3


def test_batches_are_epochs_of_the_pairs():
    numbers = np.arange(3, 43)
    drawn = trained._batches(numbers, 20, 5)
    assert drawn.shape == (5, 20) and sorted(drawn[:2].ravel()) == sorted(drawn[2:4].ravel()) == list(numbers)
    assert (drawn[:2] != drawn[2:4]).any()


def test_a_training_that_leaves_the_numbers_says_nothing(monkeypatch):
    monkeypatch.setattr(trained, "RATE", 1e30)
    x, y = rows()
    heads = Trained(x, y, 200, 0.5).fit()
    np.testing.assert_array_equal(heads.apply(x, 0), 0)
    assert np.isfinite(heads.scale)
    model = fit_all(monkeypatch, views=("plain", "trained"))
    assert hit(model.similarity(*test_rows())) > 0.3


def train_rows(p=200):
    x, y = rows(400)
    return dict(x_pairs=x[:p], y_pairs=y[:p], x=x[p : p + 50], y=y[p + 50 : 300])


def test_rows():
    x, y = rows(400)
    return x[300:], y[300:]


test_rows.__test__ = False


def fit_all(monkeypatch, **options):
    monkeypatch.setitem(recipe.FROM_PAIRS, "trained", 150)
    return CotrainedHeads(**options).fit(**train_rows())


def test_it_joins_from_its_count_only(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "gera_jax"):
        model = fit_all(monkeypatch)
    assert model.views_used == list(recipe.VIEWS) and len(model.mixture) == 5
    assert [line.split()[1] for line in caplog.messages] == ["views", "weights", "heads", "co-training", "densities"]
    monkeypatch.setitem(recipe.FROM_PAIRS, "trained", 201)
    monkeypatch.setattr(Trained, "_train", None)  # nothing is trained below
    fewer = CotrainedHeads().fit(**train_rows())
    assert "trained" not in fewer.views_used
    without = CotrainedHeads(views=tuple(name for name in recipe.VIEWS if name != "trained")).fit(**train_rows())
    x, y = test_rows()
    np.testing.assert_array_equal(fewer.similarity(x, y), without.similarity(x, y))


def test_a_view_that_knows_has_weight_and_one_that_does_not_has_none(monkeypatch):
    model = fit_all(monkeypatch, views=("plain", "trained"))
    assert hit(model.similarity(*test_rows())) > 0.3
    monkeypatch.setattr(Trained, "_train", lambda self, rows: nonsense())  # companion: random heads
    assert fit_all(monkeypatch, views=("plain", "trained")).mixture[1] < min(0.2, model.mixture[1])


def nonsense():
    keys = jax.random.split(jax.random.key(5), 2)
    params = [
        jax.tree.map(np.asarray, ResidualMLP(dim=16, hidden=32).init(key, np.zeros((1, width), np.float32))["params"])
        for key, width in zip(keys, (14, 10), strict=True)
    ]
    return TrainedHeads(tuple(params), 1.0)


@pytest.mark.parametrize("way", ["pickle", "folder"])
def test_it_is_stored(monkeypatch, tmp_path, way):
    monkeypatch.setitem(recipe.FROM_PAIRS, "trained", 150)
    aligner = Aligner("auto", settings=dict(views=("plain", "trained"))).fit(*train_rows().values())
    if way == "pickle":
        again = pickle.loads(pickle.dumps(aligner))
    else:
        aligner.save(tmp_path / "model")
        again = gera_jax.load(tmp_path / "model")
    assert any(isinstance(heads, TrainedHeads) for *_, heads in again._model.model._heads)
    x, y = test_rows()
    np.testing.assert_allclose(aligner.transform_x(x), again.transform_x(x), atol=2e-6)
    np.testing.assert_allclose(aligner.transform_y(y), again.transform_y(y), atol=2e-6)
