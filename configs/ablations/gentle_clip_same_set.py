"""Gentle-CLIP whose unpaired rows are both rows of the same items, as released: equal sets then exist in every batch.

gera-jax train --config configs/ablations/gentle_clip_same_set.py:source=clipart,pairs=300 --output runs/gentle_same_set
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"gentle_clip:unpaired=same_set,{arg or ''}".rstrip(","))
