"""Aligner's door: which rows it takes, in whose words it refuses others, and that it does so before it computes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from gera_jax import Aligner, training
from gera_jax.checks import InputError
from gera_jax.data import Pairs, Preprocessor, as_rows


def views(n: int = 120):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 4))
    return z @ rng.normal(size=(4, 8)), z @ rng.normal(size=(4, 6))


def with_bad(rows: np.ndarray, where, value=np.nan) -> np.ndarray:
    rows = rows.copy()
    rows[where, 1] = value
    return rows


@pytest.fixture
def no_work(monkeypatch):
    """Nothing may be preprocessed or trained."""

    def fails(*args, **options):
        raise AssertionError("work was begun")

    monkeypatch.setattr(training, "train", fails)
    monkeypatch.setattr(Preprocessor, "fit", fails)


@pytest.mark.parametrize("method", ["ridge_cca", "auto", "gera", "contrastive"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda x, y: (x[:40], y[:40], with_bad(x[40:90], 17)),
            r"x_unpaired: got 1 row with NaN or infinity \(row 17\); .*Drop or repair it",
        ),
        (
            lambda x, y: (x[:40], y[:40], None, with_bad(y[40:], [3, 8], np.inf)),
            r"y_unpaired: got 2 rows with NaN or infinity \(first: row 3\)",
        ),
        (lambda x, y: (x[:40], with_bad(y[:40], 3)), r"y_pairs: got 1 row with NaN or infinity \(row 3\)"),
        (lambda x, y: (x[:40], y[:40], x[:50, :5]), "x_unpaired: got width 5; wanted width 8"),
        (lambda x, y: (x[:40], y[:40], x[50]), r"x_unpaired: got shape \(8,\); .*rows\[None\]"),
        (lambda x, y: (x[:40] + 1j, y[:40]), "x_pairs: got complex numbers"),
        (lambda x, y: (x[:40], y[:40].astype(str)), "y_pairs: got texts"),
        (lambda x, y: (x[:40].astype(object), y[:40]), "x_pairs: got objects"),
        (lambda x, y: (np.ma.masked_array(x[:40], x[:40] > 2), y[:40]), "x_pairs: got a masked array"),
        (lambda x, y: (x[:40], np.repeat(y[:1], 40, axis=0), x[40:], y[40:]), "y_pairs: got rows that are all equal"),
        (lambda x, y: (x[:40], y[:39]), "y_pairs: got 39 rows beside 40 of x_pairs"),
        (lambda x, y: (x[:1], y[:1]), "x_pairs: got 1 pairs; wanted at least 2 pairs"),
    ],
)
def test_rows_are_refused_in_the_callers_words_before_any_work(no_work, method, change, words):
    with pytest.raises(InputError, match=words):
        Aligner(method).fit(*change(*views()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(preprocess=dict(x=None)), r"x: got None; wanted names with values. Give a dictionary: x=dict\(...\)"),
        (dict(preprocess=dict(x="standardize")), "x: got 'standardize'; wanted names with values"),
        (dict(settings=[1]), r"settings: got \[1\]; wanted names with values"),
        (dict(method="tests.aligners.guests:squared_distance"), "settings: got {} .*missing a required argument: 'x'"),
        (dict(validation=-3), "validation: got -3"),
        (dict(validation=True), "validation: got True"),
    ],
)
def test_arguments_are_refused_before_any_row_is_seen(options, words):
    with pytest.raises(InputError, match=words):
        Aligner(**{"method": "ridge_cca", **options})


def test_validation_pairs_must_be_held_out_of_the_same_tables(no_work):
    """Row numbers of other tables would name other rows of these."""
    x, y = views()
    pairs = Pairs.from_arrays(x, y)
    train, val, _ = pairs.split(val=20, test=30)
    for validation, words in (
        (Pairs.from_arrays(x[:20] + 1, y[:20]), "validation: got pairs of other tables; .*Cut both from one Pairs"),
        (train.take(np.arange(5)), "validation: got 10 rows that are fitted on too; wanted none of them"),
        (pairs, "validation: got 140 rows that are fitted on too"),
    ):
        with pytest.raises(InputError, match=words):
            Aligner("contrastive", validation=validation).fit(train)
    for validation in (val, pickle.loads(pickle.dumps(val))):  # equal tables that are another object, as in another process
        with pytest.raises(AssertionError, match="work was begun"):
            Aligner("contrastive", validation=validation).fit(train)


def test_later_rows_go_through_the_same_gate():
    x, y = views()
    with pytest.raises(InputError, match="Aligner: got no fit; wanted a fitted aligner"):
        Aligner("ridge_cca").transform_x(x)
    aligner = Aligner("ridge_cca").fit(x[:40], y[:40])
    for act, words in (
        (lambda: aligner.transform_x(with_bad(x, 5)), r"x: got 1 row with NaN or infinity \(row 5\)"),
        (lambda: aligner.transform_y(x), "y: got width 8; wanted width 6"),
        (lambda: aligner.embed("x", x[0]), r"x: got shape \(8,\)"),
        (lambda: aligner.score(x[:9], y[:8]), "y: got 8 rows beside 9 of x"),
        (lambda: aligner.score(x[:1], y[:1]), "wanted at least one wrong row for each query"),
        (lambda: aligner.score(x[:0], y[:0]), "x: got no row; wanted at least one row of each modality"),
        (lambda: aligner.predict_y(x[:, :5]), "x: got width 5; wanted width 8"),
    ):
        with pytest.raises(InputError, match=words):
            act()
    assert aligner.transform_x(x[:0]).shape == (0, aligner.transform_x(x[:1]).shape[1])


def test_whole_numbers_and_coarse_floats_are_what_they_say():
    x, y = (np.round(4 * rows) for rows in views())
    want = Aligner("ridge_cca").fit(x[:40], y[:40]).transform_x(x[40:])
    for dtype in (np.int8, np.int64, np.float16, np.float32):
        got = Aligner("ridge_cca").fit(x[:40].astype(dtype), y[:40].astype(dtype)).transform_x(x[40:].astype(dtype))
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("method", ["ridge_cca", "asif", "auto"])
def test_scale_and_offset_change_nothing(method):
    x, y = (np.round(rows * 1024) / 1024 for rows in views())  # numbers to which an offset can be added without rounding

    def scores(x, y):
        aligner = Aligner(method).fit(x[:40], y[:40], x[40:70], y[60:90])
        return aligner.transform_x(x[90:]) @ aligner.transform_y(y[90:]).T

    want = scores(x, y)
    assert want.std() > 0.1
    for scale in (1e-30, 1e-20, 3e-13, 1e13, 1e20, 1e30):
        np.testing.assert_allclose(scores(x * scale, y / scale), want, atol=1e-5, err_msg=f"scale {scale}")
    for offset in (1e4, 4.6e6, 1.7e9):
        np.testing.assert_allclose(scores(x + offset, y - offset), want, atol=1e-4, err_msg=f"offset {offset}")


def test_pairs_that_preprocessing_makes_equal_are_told_with_a_remedy_that_works():
    _, y = views()
    one = np.concatenate([np.arange(1.0, 41.0), np.full(60, -30.0)])[:, None]  # all pairs on one side of the mean
    with pytest.raises(
        InputError, match=r"x_pairs: got rows that preprocessing makes all equal; .*preprocess=dict\(x=dict\(l2=False\)\)"
    ):
        Aligner("ridge_cca").fit(one[:40], y[:40], one[40:])
    assert Aligner("ridge_cca", preprocess=dict(x=dict(l2=False))).fit(one[:40], y[:40], one[40:]).transform_x(one).std() > 0


def test_copies_and_words():
    x, y = views()
    aligner = Aligner("ridge_cca", settings=dict(dim=3)).fit(x[:40], y[:40])
    assert repr(aligner) == "Aligner('ridge_cca', settings={'dim': 3})"
    for other in (copy.copy(aligner), copy.deepcopy(aligner), pickle.loads(pickle.dumps(aligner))):
        np.testing.assert_array_equal(other.transform_x(x), aligner.transform_x(x))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_that_float64_would_round_are_refused(dtype):
    rows = np.array([[2**53 + 1], [2**53 + 2]], dtype)
    with pytest.raises(InputError, match="integers up to 9007199254740994.*Subtract what they share"):
        as_rows(rows, "x")
    assert as_rows(rows - rows.min(axis=0), "x").tolist() == [[0.0], [1.0]]
