"""SSPC with the exponential of the scaled similarity as logit, as released, in place of the scaled similarity itself.

gera-jax train --config configs/ablations/sspc_released_link.py:source=clipart,pairs=300 --output runs/sspc_exp
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"sspc:link=exp,{arg or ''}".rstrip(","))
