"""The pictures of grounding: what is drawn where, and what a wrong shape says."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.moments import plots

SPANS = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 2.0]])


def test_a_score_map_puts_the_best_on_top_and_marks_both_spans():
    figure = plots.score_map(SPANS, np.array([0.5, 0.9, 0.1]), truth=(0.0, 2.0), found=(1.0, 2.0), heading="a dog barks")
    axes = figure.axes[0]
    cells, true, found = axes.collections
    assert cells.get_offsets().tolist() == [[1, 1], [0, 1], [0, 2]]  # (start, length), rising scores
    assert np.allclose(cells.get_array(), [0.1, 0.5, 0.9])
    assert true.get_offsets().tolist() == [[0, 2]] and found.get_offsets().tolist() == [[1, 1]]
    assert axes.get_title(loc="left") == "a dog barks" and axes.get_ylabel() == "length (s)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["true span", "found"]
    assert figure.axes[1].get_ylim() == pytest.approx((0.1, 0.9))
    alone = plots.score_map(SPANS, np.zeros(3), truth=(0.0, 2.0))  # all scores alike, nothing found
    assert len(alone.axes[0].collections) == 2
    with pytest.raises(ValueError, match=r"spans: got shape \(3, 2\) for 2 scores; wanted \[N, 2\]"):
        plots.score_map(SPANS, np.zeros(2), truth=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"scores: got shape \(3, 1\); wanted \[N\]"):  # it drew the first span three times
        plots.score_map(SPANS, np.zeros((3, 1)), truth=(0.0, 1.0))


def test_found_spans_lie_under_the_true_ones_in_their_order():
    truth, found = np.array([[5.0, 9.0], [0.0, 4.0]]), np.array([[5.0, 7.0], [np.nan, np.nan]])
    figure = plots.found_spans(truth, found, ["later", "a sentence that is far too long for the margin"], duration=10.0)
    axes = figure.axes[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0.0, 4.0), (5.0, 4.0), (5.0, 2.0)]  # the earlier sentence first; it has no found bar
    assert [text.get_text() for text in axes.texts] == ["0.00", "0.50"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["later", "a sentence that is far too long f…"]
    assert axes.get_xlim() == (0, 10.0)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["true", "found"]  # also if the first has none
    with pytest.raises(ValueError, match="truth and found: got"):
        plots.found_spans(truth, found[:1], ["a", "b"], duration=10.0)
