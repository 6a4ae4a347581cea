"""The hand-checked numbers of the grounding losses: interactions of the 2 x 3 game, their loss, the two contrasts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.evaluation import sampled_shapley_values, shapley_interactions, shapley_values
from gera_jax.losses import geodesic_guided_contrastive, moment_bce, moment_to_sentence, shapley_interaction
from gera_jax.losses.grounding import leave_out_interactions
from gera_jax.losses.moments import coalition_value
from gera_jax.losses.released import released_interactions
from tests.contracts.tools import matches

TOL = 2e-6  # the numbers are given to six places


def circle(*degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


S, V = circle(10, 80), circle(0, 60, 100)
VALUE = 0.436612
LEAVE_OUT = [[-0.010599, -0.046938, 0.024752], [0.030004, -0.061328, -0.061328]]
SHAPLEY = [[0.175822, 0.157652, 0.193497], [0.193738, 0.148072, 0.148072]]
BANZHAF = [[0.016382, -0.001787, 0.034058], [0.033107, -0.012560, -0.012560]]
PLAYERS = [0.253254, 0.239699, 0.001625, -0.040932, -0.017035]
RELEASED = [-0.135989, -0.118547, -0.288048, -0.243109, -0.228306, -0.147522]  # moment by moment


def f32(value) -> jax.Array:
    return jnp.asarray(value, "float32")


def near(got, want) -> bool:
    got = np.asarray(got)
    return got.shape == np.shape(want) and bool(np.max(np.abs(got - np.asarray(want))) < TOL)


def everyone(n: int) -> jax.Array:
    return jnp.ones(n, bool)


def game(coalition: jax.Array) -> jax.Array:
    """Players 0, 1 are the sentences, 2, 3, 4 the moments."""
    return coalition_value(f32(S @ V.T), coalition[:2], coalition[2:])


def test_the_value_of_the_grand_coalition():
    assert near(coalition_value(f32(S @ V.T), everyone(2), everyone(3)), VALUE)
    assert not near(coalition_value(f32(V @ S.T), everyone(3), everyone(2)), VALUE)
    assert coalition_value(f32(S @ V.T), jnp.zeros(2, bool), everyone(3)) == 0


def test_leave_out_interactions():
    got = leave_out_interactions(f32(S @ V.T), everyone(2), everyone(3))
    assert near(got, LEAVE_OUT)
    assert not near(-got, LEAVE_OUT) and not near(got, SHAPLEY) and not near(got, BANZHAF)
    assert not near(got, np.reshape(RELEASED, (3, 2)).T)


def test_leave_out_is_the_difference_of_four_values():
    cosines = f32(np.random.default_rng(0).uniform(-1, 1, size=(4, 6)))
    got = np.asarray(leave_out_interactions(cosines, everyone(4), everyone(6)))
    for i, j in ((0, 0), (3, 2), (1, 5)):
        s, v = everyone(4).at[i].set(False), everyone(6).at[j].set(False)
        want = (
            coalition_value(cosines, everyone(4), everyone(6))
            - coalition_value(cosines, s, everyone(6))
            - coalition_value(cosines, everyone(4), v)
            + coalition_value(cosines, s, v)
        )
        assert abs(got[i, j] - float(want)) < 1e-6
        assert abs(got[i, j] - float(want)) < 1e-2 * abs(got[i, j])


def test_released_interactions():
    got = released_interactions(f32(S), f32(V), everyone(2), everyone(3)).T.reshape(-1)
    assert near(got, RELEASED)
    assert not near(got.reshape(3, 2).T.reshape(-1), RELEASED)


def test_exact_indices_of_the_game():
    assert near(shapley_interactions(game, 5)[:2, 2:], SHAPLEY)
    assert near(shapley_interactions(game, 5, index="banzhaf")[:2, 2:], BANZHAF)
    assert not near(shapley_interactions(game, 5)[:2, 2:], BANZHAF)


def test_shapley_values_are_efficient():
    values = shapley_values(game, 5)
    assert near(values, PLAYERS)
    assert abs(values.sum() - VALUE) < TOL
    assert not near(values[::-1], PLAYERS)


def test_sampled_values_reach_the_exact_ones_within_their_error():
    found = sampled_shapley_values(game, 5, orders=2000)
    off = np.abs(found.values - PLAYERS)
    assert np.all(off < 4 * found.standard_error) and np.all(found.standard_error < 0.01)
    assert abs(found.values.sum() - VALUE) < 1e-5
    assert not np.all(np.abs(found.values[::-1] - PLAYERS) < 4 * found.standard_error)


def test_the_loss_from_the_interactions():
    """-(S / M) sum q log A, with A and phi as given."""
    cosines = S @ V.T
    log_a = cosines - np.log(np.exp(cosines).sum(1, keepdims=True))
    q = np.array(LEAVE_OUT) / np.linalg.norm(LEAVE_OUT)
    want = -2 / 3 * np.sum(q * log_a)
    got = shapley_interaction(f32(S), f32(V))
    assert abs(float(got) - want) < 2e-5
    q = np.array(RELEASED) / np.linalg.norm(RELEASED)
    released = float(shapley_interaction(f32(S), f32(V), form="released"))
    assert abs(released - 2 / 3 * np.sum(q * log_a.reshape(-1))) < 2e-5
    assert abs(released + 2 / 3 * np.sum(q * log_a.reshape(-1))) > 1
    assert abs(released - 2 / 3 * np.sum(q * log_a.T.reshape(-1))) > 1e-2  # paired as it should have been


def test_labels_get_no_gradient_and_logits_do():
    def with_labels(s, labels):
        cosines = s @ f32(V).T
        return -2 / 3 * jnp.sum(labels * jax.nn.log_softmax(cosines, axis=1))

    labels = f32(np.array(LEAVE_OUT) / np.linalg.norm(LEAVE_OUT))
    got = jax.grad(lambda s: shapley_interaction(s, f32(V)))(f32(S))
    want = jax.grad(lambda s: with_labels(s / jnp.linalg.norm(s, axis=1, keepdims=True), labels))(f32(S))
    assert matches(got, want, 1e-4)
    assert np.any(np.abs(got) > 1e-2)


def test_memory_of_the_interactions_has_no_s_m_m_array():
    shapes = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((32, 16), (512, 16))]
    compiled = jax.jit(jax.grad(shapley_interaction, argnums=(0, 1))).lower(*shapes).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 32 * 512 * 512 / 4


CELL = dict(iou=f32([[[1.0, 0.1, 0.2, 0.6]]]), similarity=f32([[[1.0, 0.8, 0.0, 0.0]]]))


def test_which_moments_are_pushed():
    """One sentence at 0 degrees, moments at 0, 40, 90 and 180; the last overlaps by more than half, so it is no negative."""
    s, v = f32(circle(0))[None], f32(circle(0, 40, 90, 180))[None]
    e = np.exp(np.cos(np.deg2rad([0, 40, 90, 180])))
    one = -np.log(e[0] / (e[0] + 0.2 * e[1] + e[2]))  # positives: the source; omega of the second 1 - 0.8
    pushed = -np.log(e[0] / (e[0] + 1.8 * e[1] + e[2]))
    two = -(np.log(e[0] / (e[0] + e[1] + e[2])) + 0.8 * np.log(e[1] / (e[0] + e[1] + e[2]))) / 1.8

    def run(**options) -> float:
        return float(geodesic_guided_contrastive(s, v, **CELL, temperature=1.0, **options))

    assert abs(run(positives=1) - one) < 1e-6
    assert abs(run(positives=1, direction="pushing") - pushed) < 1e-6
    assert abs(run(positives=2) - two) < 1e-6
    assert run(positives=5) == run(positives=2)  # the others have no similarity
    assert len({round(x, 3) for x in (one, pushed, two)}) == 3


def test_the_released_logits_stay_finite_where_exponentials_overflow():
    """Cosines of 0.77 and 0.71 with g = 0.85 give a logit of 80.5; larger ones are beyond float32's exponential."""
    s = f32(circle(0))[None]
    cell = dict(similarity=f32([[[1.0, 0.95]]]), iou=f32([[[1.0, 0.0]]]))
    value, grads = jax.value_and_grad(lambda v: geodesic_guided_contrastive(s, v, **cell, form="released"))(
        f32(circle(0, 10))[None]
    )
    hard = np.exp(np.cos(np.deg2rad(10))) * 1.95 * np.exp(np.cos(np.deg2rad(10))) / 0.1
    assert hard > 100 and np.isfinite(value) and np.all(np.isfinite(grads))
    assert abs(float(value) - (hard - (np.e + 0.95 * np.exp(np.cos(np.deg2rad(10)))) / 0.2)) < 1e-3


def test_better_is_lower_and_chance_is_log_m():
    rng = np.random.default_rng(0)
    s = f32(rng.normal(size=(4, 3, 16)))
    cell = dict(iou=jnp.broadcast_to(jnp.eye(3), (4, 3, 3)))
    both = dict(**cell, sentence_iou=cell["iou"])
    wrong = s[:, ::-1]
    assert moment_bce(s, s, **cell) < moment_bce(s, wrong, **cell)
    assert moment_to_sentence(s, s, **both) < moment_to_sentence(s, wrong, **both)
    guided = dict(**cell, similarity=cell["iou"])
    assert geodesic_guided_contrastive(s, s, **guided) < geodesic_guided_contrastive(s, wrong, **guided)
    same = jnp.ones((4, 3, 16))
    assert abs(float(moment_to_sentence(same, same, **both, margin=0.0)) - np.log(12)) < 1e-5
    assert abs(float(geodesic_guided_contrastive(same, same, **guided)) - np.log(12)) < 1e-5
    half = jnp.zeros((1, 1, 16)).at[..., 0].set(1.0)
    assert abs(float(moment_bce(half, half[..., ::-1], iou=jnp.full((1, 1, 1), 0.9))) - np.log(2)) < 1e-6
    low = float(moment_bce(half, half[..., ::-1], iou=jnp.zeros((1, 1, 1)), logit_bias=-3.0))
    assert abs(low - np.log(1 + np.exp(-3))) < 1e-6


def test_the_bias_of_a_moment_and_of_a_cell():
    rng = np.random.default_rng(3)
    s, v = f32(rng.normal(size=(2, 3, 4))), f32(rng.normal(size=(2, 5, 4)))
    mask = np.ones((2, 5), bool)
    mask[1, 4] = False
    args = dict(iou=f32(rng.uniform(size=(2, 3, 5))), v_mask=jnp.asarray(mask))
    row = rng.normal(size=(2, 1, 5))
    cells = np.broadcast_to(row, (2, 3, 5))
    got = float(moment_bce(s, v, logit_bias=f32(row), **args))
    assert abs(got - float(moment_bce(s, v, logit_bias=f32(cells), **args))) < 1e-6
    assert abs(got - float(moment_bce(s, v, **args))) > 1e-2
    same = float(moment_bce(s, v, logit_bias=jnp.full((2, 1, 5), -2.0), **args))
    assert abs(same - float(moment_bce(s, v, logit_bias=-2.0, **args))) < 1e-6
    gradient = jax.grad(lambda bias: moment_bce(s, v, logit_bias=bias, **args))(f32(row).at[1, 0, 4].set(jnp.nan))
    assert gradient[1, 0, 4] == 0 and np.all(np.isfinite(gradient)) and np.all(np.asarray(gradient)[0] != 0)
    with pytest.raises(InputError, match=r"logit_bias: got shape \(2, 2, 5\); wanted a scalar or shape \(2, 3, 5\), 1 for 3"):
        moment_bce(s, v, logit_bias=jnp.zeros((2, 2, 5)), **args)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.6])
def test_sentences_of_one_span_are_no_negatives_of_each_other(threshold):
    s = f32(np.eye(3)[None])
    overlap = jnp.where(jnp.eye(3, dtype=bool), 1.0, 0.5)[None]
    got = moment_to_sentence(s, s, iou=f32(np.eye(3)[None]), sentence_iou=overlap, margin=0.0, temperature=1.0, same=threshold)
    want = np.log(1 + 2 / np.e) if threshold > 0.5 else 0.0
    assert abs(float(got) - want) < 1e-6
