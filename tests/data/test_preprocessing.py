"""Preprocessing: right numbers, from training rows alone, and an exact round trip."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import Preprocessor

FILTER = dict(strength=0.5, k=3, temperature=0.2)


def rows_of(n=60, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5.0


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_standardised_rows_have_mean_0_and_deviation_1():
    rows = rows_of()
    out = Preprocessor(standardize=True, l2=False).fit(rows)(rows)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)
    centred = Preprocessor(l2=False).fit(rows)(rows)  # the companion that must fail
    np.testing.assert_allclose(centred, rows - rows.mean(0), atol=1e-5)
    assert np.abs(centred.std(0) - 1).max() > 0.1


def test_constant_columns_do_not_blow_up():
    rows = rows_of()
    rows[:, 2] = 7.3
    out = Preprocessor(standardize=True, l2=False).fit(rows.astype(np.float16))(rows.astype(np.float16))
    np.testing.assert_allclose(out[:, 2], 0, atol=1e-5)


def test_pca_equals_the_svd_up_to_sign():
    rows = rows_of()
    made = Preprocessor(pca=3, l2=False).fit(rows)
    centred = rows - rows.mean(0)
    _, values, vt = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ vt[:3].T
    out = made(rows)
    np.testing.assert_allclose(np.abs(out), np.abs(expected), atol=2e-4)
    assert np.abs(np.abs(out) - np.abs(centred[:, :3])).max() > 0.1
    assert made.explained_variance == pytest.approx((values[:3] ** 2).sum() / (values**2).sum(), rel=1e-5)


def test_l2_gives_unit_rows_and_keeps_a_zero_row():
    rows = rows_of()
    made = Preprocessor(center=False).fit(rows)
    out = made(np.concatenate([rows, np.zeros((1, 6))]))
    np.testing.assert_allclose(np.linalg.norm(out[:-1], axis=1), 1, atol=1e-6)
    assert not out[-1].any()


def filter_by_hand(z, pool, own):
    out = []
    for i, row in enumerate(z):
        cosines = pool @ row
        if own is not None and own[i] >= 0:
            cosines[own[i]] = -np.inf
        near = np.argsort(-cosines)[:3]
        weights = np.exp((cosines[near] - 1) / 0.2)
        out.append(0.5 * row + 0.5 * (weights / weights.sum()) @ pool[near])
    return unit(np.concatenate([z, unit(np.array(out))], axis=1))


def test_filter_equals_the_equation_and_leaves_training_rows_out_of_themselves():
    rows, index = rows_of(), np.arange(0, 40)
    made = Preprocessor(filter=FILTER).fit(rows, index)
    z = unit(rows - rows[index].mean(0))
    own = np.where(np.arange(60) < 40, np.arange(60), -1)
    out = made(rows, row_numbers=np.arange(60))
    assert out.shape == (60, 12) and made.dim == 12
    np.testing.assert_allclose(out, filter_by_hand(z, z[:40], own), atol=1e-5)
    with_self = filter_by_hand(z, z[:40], None)  # must not fit
    assert np.abs(out[:40] - with_self[:40]).max() > 1e-2
    np.testing.assert_allclose(made(rows), with_self, atol=1e-5)


def test_filter_without_concatenation_keeps_the_width():
    rows = rows_of()
    made = Preprocessor(filter=dict(FILTER, concatenate=False)).fit(rows)
    assert made(rows).shape == (60, 6) and made.dim == 6


def test_filter_pool_is_thinned_to_max_pool_and_self_is_still_found():
    rows = rows_of()
    made = Preprocessor(filter=dict(FILTER, max_pool=20)).fit(rows)
    assert len(made.pool) == 20
    assert np.abs(made(rows, row_numbers=np.arange(60)) - made(rows))[made.pool_rows].max() > 1e-3
    other = np.setdiff1d(np.arange(60), made.pool_rows)
    np.testing.assert_array_equal(made(rows, row_numbers=np.arange(60))[other], made(rows)[other])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_becomes_float32_in_a_fresh_array(dtype):
    rows = rows_of().astype(dtype)
    out = Preprocessor(center=False, l2=False).fit(rows)(rows)
    assert out.dtype == np.float32 and not np.shares_memory(out, rows)
    np.testing.assert_array_equal(out, rows.astype(np.float32))


def test_statistics_come_from_the_training_rows_alone():
    rows, index = rows_of(), np.arange(40)
    options = dict(standardize=True, pca=4, filter=FILTER)
    spoiled = rows.copy()
    spoiled[50] = 1e6
    a, b = (Preprocessor(**options).fit(r, index)(rows) for r in (rows, spoiled))
    np.testing.assert_array_equal(a, b)
    spoiled[50], spoiled[10] = rows[50], 1e6  # the same in a training row must show
    assert np.abs(a - Preprocessor(**options).fit(spoiled, index)(rows)).max() > 0.1


def test_round_trip_is_exact(tmp_path):
    rows = rows_of()
    made = Preprocessor(standardize=True, pca=4, filter=FILTER, name="image").fit(rows, np.arange(50))
    np.savez(tmp_path / "p.npz", **made.to_arrays())
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        again = Preprocessor.from_arrays(arrays)
    assert again.options == made.options and again.dim == made.dim and again.name == "image"
    numbers = np.arange(60)
    np.testing.assert_array_equal(again(rows, row_numbers=numbers), made(rows, row_numbers=numbers))
    arrays = dict(made.to_arrays())
    arrays["mean"] = arrays["mean"] + np.float32(1e-3)
    assert not np.array_equal(Preprocessor.from_arrays(arrays)(rows), made(rows))


def test_blocks_and_memory_maps_give_the_same(tmp_path, monkeypatch):
    rows = rows_of().astype(np.float32)
    np.save(tmp_path / "x.npy", rows)
    whole = Preprocessor(standardize=True, pca=4).fit(rows)(rows)
    for name in ("BLOCK_BYTES", "CACHE_BYTES"):
        monkeypatch.setattr(f"gera_jax.data.preprocessing.{name}", 8 * 6 * 7)  # a few rows a block
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_allclose(Preprocessor(standardize=True, pca=4).fit(mapped)(mapped), whole, atol=1e-5)


def test_leading_axes_are_kept():
    rows = rows_of()
    made = Preprocessor(pca=2).fit(rows)
    np.testing.assert_allclose(made(rows.reshape(4, 15, 6)), made(rows).reshape(4, 15, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(filter=dict(strenght=0.5)), 'Did you mean "strength"'),
        (dict(filter=dict(strength=2.0)), "strength: got 2.0"),
        (dict(filter=dict(strength=0.5), l2=False), "set l2=True"),
        (dict(filter=dict(temperature=0.0)), "temperature: got 0.0"),
        (dict(filter=dict(k=0)), "at least 1 neighbour"),
        (dict(pca=-1), "pca: got -1"),
    ],
)
def test_bad_options_say_what_to_do(options, words):
    with pytest.raises(InputError, match=words):
        Preprocessor(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(filter=dict(strength=0.5, k=60)), "fewer neighbours than the 60 training rows"),
    ],
)
def test_bad_fits_say_what_to_do(options, words):
    with pytest.raises(InputError, match=words):
        Preprocessor(**options).fit(rows_of())


@pytest.mark.parametrize(("n", "kept"), [(60, 6), (4, 4)])
def test_pca_keeps_what_there_is(n, kept):
    made = Preprocessor(pca=256, l2=False).fit(rows_of(n=n))
    assert made.dim == kept and made.explained_variance == pytest.approx(1)
    again = Preprocessor.from_arrays(made.to_arrays())
    np.testing.assert_array_equal(again(rows_of(n=n)), made(rows_of(n=n)))
    centred = rows_of(n=n) - rows_of(n=n).mean(0)
    np.testing.assert_allclose(made(rows_of(n=n)) @ made(rows_of(n=n)).T, centred @ centred.T, atol=1e-4)  # a rotation


def test_unfitted_other_width_and_foreign_arrays():
    with pytest.raises(InputError, match="no fit"):
        Preprocessor()(rows_of())
    with pytest.raises(InputError, match="wanted width 6, as in training"):
        Preprocessor().fit(rows_of())(rows_of(d=5))
    with pytest.raises(InputError, match="to_arrays"):
        Preprocessor.from_arrays({"mean": np.zeros(3)})


@pytest.mark.parametrize("offset", [0.0, 4.6e6, 1.7e9, 1e12])
@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1.0, 1e20, 1e30])
def test_a_shift_and_a_scale_change_no_feature(offset, scale):
    rows = rows_of()
    want = unit(rows - rows.mean(0))
    shifted = (rows + offset) * scale
    out = Preprocessor().fit(shifted)(shifted)
    np.testing.assert_allclose(out, want, atol=1e-6 + 1e-15 * offset)
    cast = (rows + offset).astype(np.float32).astype(np.float64)  # the companion: cast before it is centred
    assert offset < 1e6 or np.abs(unit(cast - cast.mean(0) + 1e-30) - want).max() > 1e-2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_column_is_standardised_by_its_own_magnitude(dtype):
    rows = (np.random.default_rng(0).normal(size=(500, 4)) * [1e7, 1.0, 1e-3, 1e-25]).astype(dtype)
    out = Preprocessor(standardize=True, l2=False).fit(rows)(rows)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)
    np.testing.assert_allclose(out, (rows - rows.mean(0, dtype=np.float64)) / rows.std(0, dtype=np.float64), atol=1e-4)
    deviation = rows.std(0, dtype=np.float64)
    by_the_largest = np.where(deviation <= 1e-6 * deviation.max(), deviation, 1)  # the companion: the rule of before
    assert by_the_largest.min() < 0.5


def test_a_time_stamp_is_standardised_and_a_constant_one_is_not():
    rows = rows_of(n=500, d=3)
    rows[:, 0] = 1.7e9 + np.arange(500) * 1e-3
    rows[:, 1] = 14.62
    out = Preprocessor(standardize=True, l2=False).fit(rows)(rows)
    np.testing.assert_allclose(out[:, 0].std(), 1, atol=1e-4)
    assert not out[:, 1].any()
    single = (14.62 + 1e-7 * rows_of(n=500, d=1)).astype(np.float32)  # two neighbouring floats: rounding, no information
    assert np.abs(Preprocessor(standardize=True, l2=False).fit(single)(single)).max() < 1e-5


def test_broken_rows_are_named_before_anything_is_computed():
    rows = rows_of()
    rows[17, 2], rows[23] = np.nan, np.inf
    for options in ({}, dict(standardize=True), dict(center=False, filter=FILTER), dict(pca=2)):
        with pytest.raises(InputError, match="image rows: got NaN or infinity in row 17 and 1 more; wanted finite"):
            Preprocessor(**options, name="image").fit(rows)
        made = Preprocessor(**options, name="image").fit(rows, np.arange(17))
        with pytest.raises(InputError, match="image rows: got NaN or infinity in row 23; wanted finite"):
            made(rows[20:], row_numbers=np.arange(20, 60))
        assert np.isfinite(made(rows[:17])).all()


def test_features_beyond_float32_are_refused():
    rows = rows_of() * 1e60
    with pytest.raises(InputError, match="x features: got values beyond float32"):
        Preprocessor(l2=False).fit(rows)(rows)
    np.testing.assert_allclose(np.linalg.norm(Preprocessor().fit(rows)(rows), axis=1), 1, atol=1e-6)
