"""What is wrong with a comparison's rows, pairs and options is said in words before anything is fitted."""

from __future__ import annotations

import numpy as np
import pytest

import gera_jax
from gera_jax.checks import InputError
from gera_jax.comparison.task import make_task
from gera_jax.data import Table

X, Y = np.arange(240.0).reshape(60, 4) % 17, np.arange(180.0).reshape(60, 3) % 13


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            dict(data="clipart", methods=["ridge_ca"]),
            'method: got "ridge_ca"; wanted a known name. Did you mean "ridge_cca" or "gera"?',
        ),
        (dict(data="clipart", counts=(1,)), "pairs: got 1; wanted a whole number, at least 2."),
        (
            dict(data="clipart", pairs=(20, 9999)),
            "pairs: got 9999; wanted at most 2212, the pairs that train (validation and test take 300 and 500 items). Lower it, or --val and --test.",
        ),
        (dict(data="clipart", budget=0), "budget: got 0; wanted a whole number, at least 1."),
        (dict(data="clipart", seeds=0), "seeds: got 0; wanted a whole number, at least 1."),
        (dict(data="clipart", split="radnom"), 'split: got "radnom"; wanted "random" or "group".'),
        (dict(data="emoji3"), "data: got 3 modalities; wanted a set of two modalities. Leave one out."),
        (
            dict(x=X),
            "data: got one ndarray; wanted own embeddings as x and y, or the name of a bundled set. Bundled sets are clipart, clipart_dinov2, emoji, emoji_speech, emoji_speech_image, emoji3, molecule, molecule_large.",
        ),
        (dict(x=X, y=Y, pairs=[(0, 0)]), "pairs: got 1 pairs; wanted at least 2 pairs."),
        (
            dict(x=X, y=Y, pairs=[(0, 0), (1, 1), (99, 2), (77, 3)]),
            "pairs: got 2 ids that x does not have (first: 99, 77); wanted ids like 0, 1, 2. A table without stored ids has its row numbers, from 0, as ids.",
        ),
        (
            dict(x=X, y=Y, pairs=[("image_one", "a caption"), (0, 0), (1, 1)]),
            'pairs: got 1 ids that x does not have (first: image_one); wanted ids like 0, 1, 2. Is the first line a heading? Call its columns "x_id,y_id".',
        ),
        (dict(x=X, y=Y, val=0), "val: got 0; wanted at least 2 items."),
        (dict(x=X, y=Y, test=0), "test: got 0; wanted at least 2 items."),
        (
            dict(x=X, y=Y, pairs=[(0, 0), (1, 1), (0, 0)]),
            "pairs: got 1 pairs given more than once (first: 0, 0); wanted each pair once. Remove the repeats.",
        ),
        (
            dict(x=X, y=Y, pairs=[(0, 0), (0, 1), (1, 1)]),
            "pairs: got 1 items with both rows, of which 2 validate and 2 test; wanted at least 2 to validate, 2 to test and 2 to train on. Give more pairs, or other val and test.",
        ),
        (
            dict(x=X, y=Y, x_unpaired=X[:2].copy()),
            "unpaired rows of x: got 2 rows equal to a row of a known pair (first: 0, 1); wanted rows of other items: paired rows are held out to test on. Remove them; if they are other items that look the same, put them into the table itself.",
        ),
        (
            dict(x=X, y=np.ones((60, 1))),
            "y: got 60 rows of width 1 that are all equal; wanted rows that differ. Is the right array or column given?",
        ),
        (
            dict(x=X[:5], y=Y[:5]),
            "pairs: got 5 items with both rows, of which 2 validate and 2 test; wanted at least 2 to validate, 2 to test and 2 to train on. Give more pairs, or other val and test.",
        ),
    ],
)
def test_faults_in_words(options, words):
    with pytest.raises(InputError) as error:
        gera_jax.compare(**options, jobs=1)
    assert str(error.value) == words


def test_unpaired_ids_of_the_table_are_refused():
    x, y = Table(X, [f"i{k}" for k in range(60)], "x"), Table(Y, [f"i{k}" for k in range(60)], "y")
    with pytest.raises(InputError) as error:
        make_task(x=x, y=y, y_unpaired=Table(Y[:3] + 100, ["i5", "new", "i9"], "y"))
    assert str(error.value).startswith(
        "unpaired rows of y: got 2 ids that the table has too (first: i5, i9); wanted rows of other items"
    )


def test_fit_needs_no_rows_to_test_on(tmp_path):
    gera_jax.fit("ridge_cca", tmp_path / "five", x=X[:5], y=Y[:5])
    assert (tmp_path / "five" / "aligner.npz").is_file()
