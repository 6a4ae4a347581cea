"""An aligner of a closed form is fitted without what only a training needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "jax",
    "flax",
    "optax",
    "orbax",
    "tensorflow",
    "tensorflow_datasets",
    "grain",
    "sklearn",
    "matplotlib",
    "torch",
    "pandas",
}


def test_a_closed_form_brings_no_training_library():
    code = (
        "import sys, numpy as np; from gera_jax import Aligner\n"
        "x = np.random.default_rng(0).normal(size=(40, 4)); y = x @ np.ones((4, 3)) + x[:, :3]\n"
        "aligner = Aligner('ridge_cca', settings=dict(dim=2)).fit(x[:30], y[:30])\n"
        "aligner.score(x[30:], y[30:]); aligner.predict_y(x); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert "gera_jax.solvers.ridge_cca" in loaded  # the list is the real one
    assert sorted(HEAVY & loaded) == []
