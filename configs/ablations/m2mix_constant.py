"""m2-Mix whose weight stays: what the 1 / (1 + epoch) decay is worth.

gera-jax train --config configs/ablations/m2mix_constant.py:source=clipart,pairs=300 --output runs/m2mix_constant
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"m2mix:schedule=constant,{arg or ''}".rstrip(","))
