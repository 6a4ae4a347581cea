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
    import gera_jax as gj
except ImportError:
    import subprocess
    import sys

    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "gera_jax[plots]"])
    import gera_jax as gj

# %% tags=["parameters"]
import os

FAST = bool(os.environ.get("CI"))  # a few steps only, so that the tests run it in seconds
PAIRS = 100

# %% [markdown]
# ## The data
# A bundled set by its name; own embeddings are `gj.load_pairs("images.npz", "texts.npz")`, two files whose rows carry ids.
# 500 items are held out for the test. Of the others 100 known pairs stay; the remaining rows lose their partners and become
# unpaired rows.

# %%
train, test = gj.load_pairs("clipart").split(test=500, seed=0)
train = train.head(PAIRS)
print(train)

# %% [markdown]
# ## Fit
# `auto` is the recommended method. Any other name works in its place: `"ridge_cca"`, `"gera"`, `"structure"`, ...

# %%
aligner = gj.Aligner("ridge_cca" if FAST else "auto").fit(train)
score = aligner.score(test)
print(score)

# %% [markdown]
# ## Use it
# New rows are mapped into the shared space, or into the other modality's own space, where an index may already be.

# %%
z = aligner.transform_x(test.x[:5])
y_like = aligner.predict_y(test.x[:5])
print(z.shape, y_like.shape)
aligner.save("model")
print(gj.load("model"))

# %% [markdown]
# ## Is another method better?
# The comparison fits each method on the same rows, chooses settings on validation rows, and measures on its own test rows.

# %%
from gera_jax import reports

methods = ["ridge_cca", "procrustes"] if FAST else ["auto", "ridge_cca", "procrustes", "gera"]
found = gj.compare("clipart", methods=methods, counts=[PAIRS], seeds=1 if FAST else 3, budget=1, jobs=1)
print(reports.text(found))

# %% [markdown]
# ## A look at what it finds
# Test queries drawn at random, and what the recommended method finds for them.

# %%
best = found.recommended or methods[0]
for example in found.at(best, PAIRS)[0].examples:
    print(f"{example['query']!r}: true match at rank {example['rank']}; found {example['found']}")
