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
# # Heat-geodesic embedding: distances along a surface, from heat
# Heat that spreads on the neighbour graph of some points tells how far apart they are *along* the surface that they lie near,
# and averages over paths where a shortest path believes every short cut. `HeatGeodesicEmbedding` follows scikit-learn.

# %%
try:
    import sklearn

    import gera_jax
except ImportError:
    import subprocess
    import sys

    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "gera_jax[plots]", "scikit-learn"])
    import sklearn

    import gera_jax

print(f"gera_jax {gera_jax.__version__}, scikit-learn {sklearn.__version__}")

# %% tags=["parameters"]
import os

FAST = bool(os.environ.get("CI"))  # fewer points, so that the tests run it in seconds
ROWS = 200 if FAST else 600

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import pearsonr, spearmanr

from gera_jax import HeatGeodesicEmbedding
from gera_jax.embedding.manifolds import swiss_roll, tree


def straight(points):
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def agreement(distances, truth):
    """Pearson and Spearman correlation with the true geodesic distances, over all pairs."""
    pairs = np.triu_indices(len(truth), 1)
    found = distances[pairs], truth[pairs]
    return f"Pearson {pearsonr(*found)[0]:.3f}   Spearman {spearmanr(*found)[0]:.3f}"


# %% [markdown]
# ## A swiss roll
# A sheet rolled up in ten dimensions. It has no curvature of its own, so the true distances are known in closed form. Straight
# lines jump from one turn of the roll to the next; heat has to go around.

# %%
roll = swiss_roll(ROWS, dim=10, noise=0.1, seed=0)
model = HeatGeodesicEmbedding(random_state=0, spread=0.9).fit(roll.points)
print("straight lines          ", agreement(straight(roll.points), roll.distances))
print("heat-geodesic distances ", agreement(model.distances_, roll.distances))
print("2-D embedding           ", agreement(straight(model.embedding_), roll.distances))
model.plot(roll.position, ax=plt.subplots(figsize=(6, 3))[1], cmap="Spectral", s=12)
plt.show()

# %% [markdown]
# ## The time
# Short times see single edges, long times blur. By default `t` is the time at which the heat's entropy is a share `spread` of its
# last value. Only what depends on a changed setting is computed again: here the graph is kept.

# %%
found = model.t_
for factor in (0.01, 0.1, 1.0, 10.0):
    model.set_params(t=found * factor, mds="classical").fit(roll.points)
    print(f"t {found * factor:9.1f}  ", agreement(model.distances_, roll.distances))

# %% [markdown]
# ## A tree
# Five branches, random walks in ten dimensions. The true distance of two branches leads over both of their starting points.

# %%
branches = tree(ROWS, dim=10, branches=5, noise=1.0, seed=0)
model = HeatGeodesicEmbedding(random_state=0, spread=0.9).fit(branches.points)
print("straight lines          ", agreement(straight(branches.points), branches.distances))
print("heat-geodesic distances ", agreement(model.distances_, branches.distances))
print("2-D embedding           ", agreement(straight(model.embedding_), branches.distances))
model.plot(branches.labels, ax=plt.subplots(figsize=(5, 4))[1], cmap="tab10", s=12)
plt.show()

# %% [markdown]
# ## Digits, and new points
# Scanned digits of 64 pixels. The second half is placed by `transform`, without being part of the fit.

# %%
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

images, digits = load_digits(return_X_y=True)
half = min(len(images) // 2, 2 * ROWS)
model = HeatGeodesicEmbedding(random_state=0).fit(images[:half])
new = model.transform(images[half : 2 * half])
nearest = KNeighborsClassifier(10).fit(model.embedding_, digits[:half])
print(f"digit of the 10 nearest in two dimensions: right for {nearest.score(new, digits[half : 2 * half]):.0%} of the new points")
axes = model.plot(digits[:half], ax=plt.subplots(figsize=(6, 5))[1], cmap="tab10", s=8)
axes.scatter(*new.T, c=digits[half : 2 * half], cmap="tab10", s=8, marker="x", linewidths=0.6)
plt.show()

# %% [markdown]
# ## Many points
# Above 2,000 points heat runs on 2,000 landmarks, each of which stands for the points around it, and all points are placed among
# them: time and memory grow with the number of points, not with its square. `landmarks` sets another number.

# %%
big = swiss_roll(2 * ROWS, noise=0.1, seed=1)
model = HeatGeodesicEmbedding(random_state=0, spread=0.9, landmarks=ROWS // 2).fit(big.points)
print(f"{len(big.points)} points by {len(model.landmarks_)} landmarks ", agreement(straight(model.embedding_), big.distances))
