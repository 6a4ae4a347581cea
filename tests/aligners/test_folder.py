"""The folder of a saved aligner: whole or absent, and one sentence for whatever else stands there."""

from __future__ import annotations

import errno
import json

import numpy as np
import pytest

from gera_jax import Aligner, files
from gera_jax.aligners.folder import MODEL_FILE
from gera_jax.checks import InputError, RunError
from gera_jax.solvers.store import from_arrays

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 5)), RNG.normal(size=(60, 4))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Path and bytes of a saved model."""
    path = Aligner("ridge_cca", settings=dict(dim=np.int64(2))).fit(X[:40], Y[:40]).save(tmp_path_factory.mktemp("saved"))
    return path, path.read_bytes()


def test_every_flipped_bit_and_every_cut_is_found(stored, tmp_path):
    _, content = stored
    path = tmp_path / MODEL_FILE
    rng = np.random.default_rng(1)
    for _ in range(150):
        at, bit = int(rng.integers(len(content))), 1 << int(rng.integers(8))
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        with pytest.raises(files.DamagedError, match="got a damaged file"):
            Aligner.load(tmp_path)
    for cut in (1, 30, len(content) // 2, len(content) - 1):
        for changed in (content[:cut], content[cut:] + content[:cut], content + content[:cut] + b"x", bytes(cut)):
            path.write_bytes(changed)
            with pytest.raises(files.DamagedError):
                Aligner.load(tmp_path)


def test_a_model_of_an_older_version_is_told(tmp_path):
    np.savez(tmp_path / MODEL_FILE, header=np.array(json.dumps(dict(method="ridge_cca"))))
    with pytest.raises(InputError, match=r"no digest: an older version wrote it.*Put back a copy, or run the command"):
        Aligner.load(tmp_path)


def mutated(tree, rng):
    """`tree` with one of its parts dropped or replaced."""
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(tree)
    node, key = places[int(rng.integers(len(places)))]
    new = [
        None,
        7,
        -1.5,
        "x",
        [],
        {},
        {"array": "nowhere"},
        {"tuple": 3},
        {"object": "gera_jax.solvers.csa:CSA", "fields": {}},
        {"object": "gera_jax.solvers.linear:np", "fields": {}},
        {"named": "gera_jax.solvers.soft_cca:Heads", "fields": {"a": 1}},
        {"object": "gera_jax.solvers.nowhere:X", "fields": {}},
    ]
    if rng.random() < 0.3:
        del node[key]
    else:
        node[key] = new[int(rng.integers(len(new)))]
    return tree


def test_a_tree_that_fits_nothing_is_one_sentence(stored, tmp_path):
    """Whole files (their digest is right) of a content that this version did not write."""
    arrays = files.load_npz(stored[0])
    text = str(arrays["tree"])
    rng, refused = np.random.default_rng(2), 0
    for _ in range(150):
        files.save_npz(tmp_path / MODEL_FILE, {**arrays, "tree": np.array(json.dumps(mutated(json.loads(text), rng)))})
        try:
            Aligner.load(tmp_path).transform_x(X)
        except InputError:
            refused += 1
    assert refused > 90  # the others are still models: a setting or a name was changed
    for name in sorted(set(arrays) - {"tree"}):
        for array in (np.zeros((3, 3, 3)), np.array("text"), np.zeros(0)):
            files.save_npz(tmp_path / MODEL_FILE, {**arrays, name: array})
            try:
                Aligner.load(tmp_path)
            except InputError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ('{"object": "os:system", "fields": {}}', "got an object of os; wanted one of gera_jax.solvers"),
        ('{"object": "gera_jax.solvers.linear:np", "fields": {}}', "wanted a class of gera_jax.solvers"),
        ('{"object": "gera_jax.solvers.linear:InputError.mro", "fields": {}}', "a tree that does not fit"),
        ('{"object": "gera_jax.solvers.store:json", "fields": {}}', "wanted a class of gera_jax.solvers"),
        ('{"array": "nowhere"}', "a tree that does not fit its arrays"),
        ("[" * 100_000, "a tree that does not fit its arrays"),
        ('{"what": 1}', "a tree that does not fit its arrays"),
        ("{", "a tree that does not fit its arrays"),
    ],
)
def test_trees_that_name_what_they_may_not(tree, words):
    with pytest.raises(InputError, match=words):
        from_arrays({"tree": np.array(tree)})


def test_a_save_that_fails_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    aligner = Aligner("ridge_cca").fit(X[:40], Y[:40])

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(RunError, match=r"no space left in .*model"):
            aligner.save(tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []
    aligner.save(tmp_path / "model")
    np.testing.assert_array_equal(Aligner.load(tmp_path / "model").transform_x(X), aligner.transform_x(X))


def test_settings_come_back_as_they_were_given(tmp_path):
    settings = dict(views=("plain",), rounds=0, matching=0.0, shrink=np.float64(3.0))
    Aligner("auto", settings=settings, preprocess=dict(x=dict(pca=3))).fit(X[:20], Y[:20]).save(tmp_path)
    again = Aligner.load(tmp_path)
    assert again.settings == settings
    assert again.preprocess == dict(x=dict(pca=3))


def test_folders_that_are_none(tmp_path):
    aligner = Aligner("ridge_cca").fit(X[:40], Y[:40])
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="folder: got .*which is a file; wanted a folder"):
        aligner.save(tmp_path / "file")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="which holds a model"):
        aligner.save(tmp_path)
    for folder in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(
            InputError, match=r"folder: got .* without run\.json or aligner\.npz; .*gera-jax fit and gera-jax train"
        ):
            Aligner.load(folder)
