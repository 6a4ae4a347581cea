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
# # Your own embeddings
# Two tables of vectors whose rows carry ids, in any order and of any length. Rows of equal ids are known pairs, the rest is
# unpaired. Here: a parquet file of pictures, a parquet file of captions with two captions for some pictures, and pictures that
# nobody has described.

# %%
try:
    import gera_jax as gj
except ImportError:
    import subprocess
    import sys

    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "gera_jax[plots,formats]"])
    import gera_jax as gj

# %% tags=["parameters"]
import os

FAST = bool(os.environ.get("CI"))  # a quicker method, so that the tests run it in seconds
PICTURES, CAPTIONS = "pictures.parquet", "captions.parquet"  # put your own two files here, and leave out the next cell

# %% [markdown]
# ## Two files as people have them
# From the bundled emoji: 1,200 pictures, of which 400 have a caption and 100 of those a second one, shuffled.

# %%
import numpy as np
import pandas as pd

emoji = gj.load_pairs("emoji")
rng = np.random.default_rng(0)
chosen = rng.permutation(len(emoji))[:1200]
pictures, texts = (np.asarray(rows, np.float32)[chosen] for rows in (emoji.x, emoji.y))
ids = [f"emoji_{i:04d}" for i in chosen]
again = texts[:100] + rng.normal(scale=0.1 * texts.std(), size=texts[:100].shape).astype(np.float32)  # another wording

frames = {
    PICTURES: pd.DataFrame({"id": ids, "vector": list(pictures)}),
    CAPTIONS: pd.DataFrame({"id": ids[:400] + ids[:100], "vector": list(texts[:400]) + list(again)}),
}
for path, frame in frames.items():
    frame.sample(frac=1, random_state=0).to_parquet(path, index=False)
frames[CAPTIONS].head(3)

# %% [markdown]
# ## What the tables hold together
# `captions=True` says that an id may come several times. What is printed here is what every command prints first: look at it
# before anything is computed.

# %%
pairs = gj.load_pairs(PICTURES, CAPTIONS, captions=True)
print(pairs)
train, test = pairs.split(test=100, seed=0)
print(train)

# %% [markdown]
# ## Fit and score
# The test pictures and all their captions were held out. The score comes with its chance level and an interval.

# %%
aligner = gj.Aligner("ridge_cca" if FAST else "auto").fit(train)
score = aligner.score(test)
print(score)

# %% [markdown]
# A control that costs a second: with partners shuffled, a method must end near chance. If it does not, something of the answer
# has leaked into the vectors.

# %%
shuffled = gj.Aligner("ridge_cca").fit(train.x, rng.permutation(train.y))
print(shuffled.score(test))

# %% [markdown]
# ## How many more pairs would help?
# The comparison follows the score over numbers of pairs, and says what twice as many would bring.

# %%
from gera_jax import reports

methods = ["ridge_cca", "procrustes"] if FAST else ["auto", "ridge_cca", "procrustes"]
found = gj.compare(pairs, methods=methods, counts=[50, 100, 200], test=100, seeds=1 if FAST else 3, budget=1, jobs=1)
print(reports.text(found))

# %% [markdown]
# ## Take it along
# The model is one folder. A search finds the captions of pictures, here of five that nobody has described.

# %%
aligner.save("model")
print(gj.search("model", x=PICTURES, y=CAPTIONS, query="x", rows=ids[1100:1105], top=3))

# %% [markdown]
# Or a picture in the captions' own space, where an index of captions may already be:

# %%
print(gj.load("model").predict_y(pictures[1100:1105]).shape)
