# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # gera_jax: a shared space from a few pairs
# Image and text embeddings of 3,012 clip-art pictures, 100 known pairs, all other rows unpaired. JAX is left as it is installed.

# %%
try:
    import gera_jax
except ImportError:
    import subprocess
    import sys

    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "gera_jax[plots]"])
    import gera_jax

# %% tags=["parameters"]
import os

FAST = bool(os.environ.get("CI"))  # a few steps only, so that the tests run it in seconds
PAIRS = 100

# %% [markdown]
# ## The data
# Bundled sets come with the library; `gera_jax.data.load_table` reads own files.

# %%
from gera_jax import config
from gera_jax.data import build_data

data = build_data(config.embedding_pair("clipart", pairs=PAIRS).to_dict())
print({name: len(rows) for name, rows in data.pool.items()}, "training rows", len(data.pairs), "pairs", len(data.test), "to test")

# %% [markdown]
# ## Train
# The config reads as the experiment's abstract; change any field.

# %%
c = config.load(f"gera:pairs={PAIRS}" + (",smoke" if FAST else ""))
print(c.losses)
result = gera_jax.train(c)
print(f"best step {result.best_step}, {result.seconds:.1f} s")

# %% [markdown]
# ## How good is it?
# Retrieval in both directions among 500 items that training has not seen, and what ridge CCA reaches with the same pairs.

# %%
from gera_jax.comparison.quickstart import fit_closed_forms
from gera_jax.training.evaluate import alignment_metrics

table = {"gera": result.evaluate("test")}
for name, (project, _) in fit_closed_forms(data).items():
    table[name] = alignment_metrics(data, project, "test")
for name, metrics in table.items():
    print(f"{name:12} R@1 {metrics['mean/R@1']:.3f}   R@10 {metrics['mean/R@10']:.3f}   FOSCTTM {metrics['foscttm']:.3f}")

# %% [markdown]
# ## A look at the joint space

# %%
import matplotlib.pyplot as plt

from gera_jax.comparison.quickstart import joint_picture, retrieval_examples

picture = joint_picture(result)
plt.figure(figsize=(6, 5))
for name, points in zip(data.names, (picture["x"], picture["y"]), strict=True):
    plt.scatter(*points.T, s=8, label=name)
plt.legend()
plt.show()

# %%
for example in retrieval_examples(result):
    print(f"{example['query']!r}: true match at rank {example['rank']}; found {example['found']}")
