"""STRUCTURE with the released divergence: KL from the mean of both walks to each of them, not the other way round as in JS.

gera-jax train --config configs/ablations/structure_mixture_first.py:source=clipart,pairs=300 --output runs/structure_mixture
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"structure:divergence=mixture_first,{arg or ''}".rstrip(","))
