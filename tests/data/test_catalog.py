"""The bundled sets: shapes, pairs, words, groups, licence; and that they are true pairs."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import catalog, load_pairs
from gera_jax.data.load import validate_table

SHAPES = {
    "clipart": ((3012, 1280), (3012, 384)),
    "clipart_dinov2": ((3012, 384), (3012, 384)),
    "emoji": ((1646, 1280), (1646, 384)),
    "emoji_speech": ((1646, 512), (1646, 384)),
    "emoji_speech_image": ((1646, 512), (1646, 1280)),
    "emoji3": ((1646, 1280), (1646, 384), (1646, 512)),
    "molecule": ((3000, 512), (2912, 384)),
    "molecule_large": ((6000, 512), (6000, 384)),
}


def test_names():
    assert catalog.names() == tuple(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_each_set_is_whole(name):
    tables = catalog.load(name)
    y = tables[1]
    entry = catalog.info(name)
    assert tuple(table.rows.shape for table in tables) == SHAPES[name]
    assert tuple(table.name for table in tables) == entry.names
    for table in tables:
        assert validate_table(table)
        words = [row[entry.captions[table.name]] for row in table.meta]
        assert all(isinstance(word, str) and word for word in words)
        assert all(row[entry.group_key] for row in table.meta)
    assert len(load_pairs(name)) == len(y)
    assert entry.licence
    assert set(entry.preprocess) == set(entry.encoders) == set(entry.names)


def test_molecules_without_a_name_stay_unpaired():
    x, y = catalog.load("molecule")
    only = load_pairs("molecule").unpaired[0]
    assert len(only) == 88
    assert all(x.meta[i]["iupac"] == "" for i in only)
    # the embedding of the empty string is not among the texts
    assert len(np.unique(y.rows, axis=0)) == len({row["iupac"] for row in y.meta})


def test_preprocess_is_standardised_where_few_dimensions_dominate():
    assert catalog.info("emoji_speech").preprocess["speech"]["standardize"]
    assert catalog.info("molecule").preprocess["molecule"]["standardize"]
    assert not catalog.info("clipart").preprocess["image"]["standardize"]


@pytest.mark.parametrize(
    ("name", "alike", "unlike"),
    [
        ("emoji", ["1F468-200D-1F33E", "1F469-200D-1F33E"], "1F40D"),  # man farmer, woman farmer; snake
        ("emoji", ["1F3C3-200D-2642-FE0F", "1F3C3"], "1F6B4"),  # man running, person running; person biking
        (
            "clipart",
            ["computer/buttons/arrow-down-blue_benji_pa_01", "computer/buttons/arrow-down-red_benji_par_01"],
            "computer/browser",
        ),
    ],
)
def test_look_alikes_share_a_group(name, alike, unlike):
    x, _ = catalog.load(name)
    key = catalog.info(name).group_key
    group = {row["id"]: row[key] for row in x.meta}
    assert group[alike[0]] == group[alike[1]] != group[unlike]
    # neither one group for all nor one a row
    assert 0.5 * len(x) < len(set(group.values())) < len(x)


def test_countries_are_not_one_concept():
    x, _ = catalog.load("emoji_speech")
    flags = [row["concept"] for row in x.meta if row["spoken"].startswith("flag: ")]
    assert len(flags) > 200
    assert len(set(flags)) == len(flags)


def test_a_linear_map_finds_the_pairs_and_a_wrong_join_does_not():
    x, y = catalog.load("molecule")
    pairs = load_pairs("molecule").rows
    a, b = x.take(pairs[:, 0]), y.take(pairs[:, 1])
    a = (a - a.mean(0)) / a.std(0)
    b = b - b.mean(0)

    def recall(a, b):
        gram = a[500:].T @ a[500:] + 0.1 * np.trace(a.T @ a) / a.shape[1] * np.eye(a.shape[1])
        guess = a[:500] @ np.linalg.solve(gram, a[500:].T @ b[500:])
        norm = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (guess, b[:500])]
        return (np.argmax(norm[0] @ norm[1].T, 1) == np.arange(500)).mean()

    assert recall(a, b) > 0.35
    assert recall(np.roll(a, 1, axis=0), b) < 0.02


def test_an_unknown_name():
    with pytest.raises(InputError, match=r'catalog name: got "clippart".*Did you mean "clipart"'):
        catalog.load("clippart")


def test_files_and_licences_ship():
    assert (catalog.FILES / "LICENSES.md").is_file()
    text = (catalog.FILES / "LICENSES.md").read_text()
    assert all(catalog.info(name).file in text for name in catalog.names())
