"""Gentle-CLIP with the authors' choices: the density with its own kernel and sums, one kernel in MMD, their batch and weights.

    gera-jax train --config configs/ablations/gentle_clip_released.py:source=clipart,pairs=300 --output runs/gentle_released

Views of frozen embeddings and the start stay ours. The released density grows like the square of the batch: its weight is for
64 rows.
"""

from gera_jax import config


def get_config(arg=None):
    c = config.load(f"gentle_clip:unpaired=same_set,form=released,density=0.7,{arg or ''}".rstrip(","))
    for term in c.losses.values():
        if term.fn == "mk_mmd":
            term.fn = "mmd"  # exp(-d^2)
    c.batch.update(pairs=24, unpaired=40)  # theirs: 22 of 64; these divide among 8 devices
    return c
