"""Gentle-CLIP without its semantic density: MMD alone says that the two sets are alike.

gera-jax train --config configs/ablations/gentle_clip_no_density.py:source=clipart,pairs=300 --output runs/gentle_no_density
"""

from gera_jax import config


def get_config(arg=None):
    c = config.load(f"gentle_clip:{arg or ''}".rstrip(":"))
    for name in [name for name in c.losses if name.startswith("density")]:
        del c.losses[name]
    return c
