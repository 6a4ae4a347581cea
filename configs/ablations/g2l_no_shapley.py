"""G2L without the Shapley interactions of sentences and moments.

gera-jax train --config configs/ablations/g2l_no_shapley.py --output runs/g2l_no_shapley
"""

from gera_jax import config


def get_config(arg=None):
    c = config.load(f"g2l:{arg}" if arg else "g2l")
    del c.losses["shapley"]
    return c
