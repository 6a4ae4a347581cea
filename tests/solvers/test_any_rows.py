"""Every closed form on rows of any size, offset and type, on the fewest pairs, and on pairs that say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import solvers
from gera_jax.checks import InputError
from gera_jax.solvers.linear import from_mean, mean_row, unit_rows, warn_of_outliers


class TwoOfMany(solvers.GeneralizedCCA):
    """Generalised CCA of two modalities, by the signature of the others."""

    def fit(self, x_pairs, y_pairs, x=None, y=None):
        return super().fit(dict(x_pairs=x_pairs, y_pairs=y_pairs))

    def transform_x(self, x):
        return self.transform("x_pairs", x)

    def transform_y(self, y):
        return self.transform("y_pairs", y)


METHODS = {
    "procrustes": solvers.Procrustes,
    "ridge_cca": solvers.RidgeCCA,
    "csa": solvers.CSA,
    "asif": solvers.ASIF,
    "kernel_cca": solvers.KernelCCA,
    "wasserstein": lambda: solvers.WassersteinProcrustes(restarts=1, rounds=3),
    "sue": solvers.SUE,
    "auto": solvers.CotrainedHeads,
    "generalized": TwoOfMany,
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


def data(grain: float = 2.0**-10):
    """Rows whose numbers are multiples of `grain`, so that scales and offsets change no digit of them."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(100, 4))
    x, y = z @ rng.normal(size=(4, 6)) + 0.3 * rng.normal(size=(100, 6)), np.tanh(z @ rng.normal(size=(4, 5)))
    return np.round(x / grain) * grain, np.round(y / grain) * grain


def scores(make, x, y):
    model = make().fit(x[:30], y[:30], x[30:60], y[50:80])
    return model.transform_x(x[80:]) @ model.transform_y(y[80:]).T


@every_method
def test_scale_offset_and_type_change_nothing(make):
    x, y = data()
    want = scores(make, x, y)
    assert np.all(np.abs(want) < 1 + 1e-6) and want.std() > 0.1
    for scale in (1e-30, 1e-13, 1e20, 1e30):
        np.testing.assert_allclose(scores(make, x * scale, y / scale), want, atol=1e-5, err_msg=f"scale {scale}")
    for offset in (4.6e6, 1.7e9):
        np.testing.assert_allclose(scores(make, x + offset, y - offset), want, atol=1e-4, err_msg=f"offset {offset}")
    coarse, flags = np.round(4 * x), y > 0
    np.testing.assert_array_equal(scores(make, coarse.astype(np.int16), flags), scores(make, coarse, flags.astype(np.float64)))
    np.testing.assert_array_equal(scores(make, coarse.astype(np.float16), y), scores(make, coarse, y))


@every_method
@pytest.mark.parametrize("value", [0.0, 1e-20, 3.3, 1e20])
def test_pairs_that_are_one_row_repeated_are_refused(make, value):
    x, y = data()
    same = np.repeat(y[:1] * 0 + value, 30, axis=0)
    nearly = same * (1 + 2e-16 * np.random.default_rng(0).choice([-1, 0, 1], same.shape))  # rounding is no information
    for pairs in (same, nearly, same.astype(np.float32)):
        with pytest.raises(InputError, match="y_pairs: got rows that are all equal"):
            make().fit(x[:30], pairs, x[30:60], y[50:80])
        with pytest.raises(InputError, match="x_pairs: got rows that are all equal"):
            make().fit(pairs, x[:30], y[50:80], x[30:60])


def test_what_differs_little_is_not_equal():
    """Companion: a fixed threshold would refuse these."""
    x, y = data()
    for scale, offset in ((1e-25, 0.0), (2.0**-10, 1e9), (1.0, 1e12)):
        assert solvers.RidgeCCA().fit(x[:30] * scale + offset, y[:30]).correlations[0] > 0.1
    with pytest.raises(InputError, match="x_pairs: got numbers up to .*Give them in another unit"):
        solvers.RidgeCCA().fit(x[:30] * 1e200, y[:30])


@pytest.mark.parametrize("make", [solvers.CotrainedHeads, solvers.RidgeCCA, solvers.SUE])
def test_a_row_that_spoils_the_mean_is_named(make):
    x, y = data()
    far = x.copy()
    far[[3, 40]] *= 1e8
    words = r"x_pairs: 1 of 30 rows \(numbers 3\) are up to .*e\+0[78] times as far .* Remove or repair them"
    with pytest.warns(UserWarning, match=words), pytest.warns(UserWarning, match=r"x: 1 of 30 rows \(numbers 10\)"):
        model = make().fit(far[:30], y[:30], far[30:60], y[50:80])
    assert np.isfinite(model.transform_x(far[80:])).all()
    kept = np.delete(np.arange(60), [3, 40])  # the remedy; warnings are errors in this session
    make().fit(x[kept[:29]], y[kept[:29]], x[kept[29:]], y[50:80])


@pytest.mark.parametrize("rows", [np.random.default_rng(0).standard_t(2, (400, 8)), np.eye(20), np.exp(data()[0] / 2)])
def test_long_tails_are_no_outliers(rows):
    """Companion: they reach far beyond a Gaussian."""
    warn_of_outliers(rows, "x_pairs")
    rows = np.concatenate([rows, 1e6 * np.ones((1, rows.shape[1]))])
    with pytest.warns(UserWarning, match=rf"x_pairs: \d of {len(rows)} rows \(numbers {len(rows) - 1}"):
        warn_of_outliers(rows, "x_pairs")


@every_method
@pytest.mark.parametrize("pairs", [2, 3])
@pytest.mark.parametrize("widths", [(1, 3), (6, 1)])
def test_the_fewest_pairs_give_a_model_or_an_input_error(make, pairs, widths):
    x, y = (rows[:, :width] for rows, width in zip(data(), widths, strict=True))
    for unpaired in (0, 8):
        try:
            model = make().fit(x[:pairs], y[:pairs], x[10 : 10 + unpaired], y[10 : 10 + unpaired])
        except InputError:  # in the right words: pairs on one side of the mean of all rows are of one direction
            continue
        zx, zy = model.transform_x(x[80:]), model.transform_y(y[80:])
        assert zx.shape == zy.shape == (20, zx.shape[1])
        length = np.linalg.norm(np.concatenate([zx, zy]), axis=1)
        assert np.all((np.abs(length - 1) < 1e-4) | (length == 0))  # a row at the mean, or without a neighbour, is zero
        assert model.transform_x(x[:0]).shape == (0, zx.shape[1])


@every_method
def test_bad_rows_are_named_by_array_and_row(make):
    x, y = data()
    bad = x.copy()
    bad[[7, 12], 2] = np.nan, np.inf
    with pytest.raises(InputError, match=r"x_pairs: got 2 rows with NaN or infinity \(first: row 7\)"):
        make().fit(bad[:30], y[:30])
    for rows, words in (
        (x[:30] + 1j, "complex"),
        (x[:30].astype(str), "texts"),
        (x[:30].astype(object), "objects"),
        (x[0], r"shape \(6,\)"),
    ):
        with pytest.raises(InputError, match=f"x_pairs: got {words}"):
            make().fit(rows, y[:30])
    if make is not TwoOfMany:
        with pytest.raises(InputError, match=r"x: got 2 rows with NaN or infinity \(first: row 7\)"):
            make().fit(x[:30], y[:30], bad, y)
        with pytest.raises(InputError, match="y: got width 6; wanted width 5"):
            make().fit(x[:30], y[:30], x, x)


def test_masked_rows_are_not_read_and_others_are_counted_as_given():
    x, y = data()
    x[4] = np.nan
    mask = np.arange(100) != 4
    want = solvers.GeneralizedCCA().fit(dict(a=np.where(mask[:, None], x, 0), b=y), dict(a=mask)).correlations
    np.testing.assert_array_equal(solvers.GeneralizedCCA().fit(dict(a=x, b=y), dict(a=mask)).correlations, want)
    x[9] = np.inf
    with pytest.raises(InputError, match=r"a: got 1 row with NaN or infinity \(row 9\)"):
        solvers.GeneralizedCCA().fit(dict(a=x, b=y), dict(a=mask))
    with pytest.raises(InputError, match='mask of modality: got "c"'):
        solvers.GeneralizedCCA().fit(dict(a=y, b=y), dict(c=mask))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows_of_any_length(dtype):
    rows = np.random.default_rng(0).normal(size=(50, 7))
    rows[3] = 0
    want = np.array([[v / max(sum(u * u for u in row) ** 0.5, 1e-99) for v in row] for row in rows.tolist()])
    smallest, largest = (1e-30, 1e37) if dtype is np.float32 else (1e-300, 1e307)
    for scale in (smallest, 1.0, largest):
        np.testing.assert_allclose(unit_rows((rows * scale).astype(dtype)), want, rtol=20 * np.finfo(dtype).eps)
    with np.errstate(all="ignore"):  # companion: the plain division is wrong at both ends
        for scale in (smallest, largest):
            plain = (rows * scale).astype(dtype)
            plain = plain / np.linalg.norm(plain, axis=1, keepdims=True)
            assert not np.allclose(np.linalg.norm(plain[:3], axis=1), 1)


def test_the_mean_and_what_lies_at_it():
    rows = np.array([[1e15 + 1, 0.1], [1e15 + 2, 0.2], [1e15 + 6, 0.3]])
    assert mean_row(rows[:1], rows[1:])[0] == 1e15 + 3
    assert from_mean(np.array([[1e15 + 3, 0.2]]), mean_row(rows)).tolist() == [[0.0, 0.0]]
