"""m3-Mix with two matches for each doubly mixed pair, as released: what the second match, and the doubled weight in it, is worth.

gera-jax train --config configs/ablations/m3mix_both_targets.py:source=clipart,pairs=300 --output runs/m3mix_both
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"m3mix:target=both,{arg or ''}".rstrip(","))
