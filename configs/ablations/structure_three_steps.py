"""STRUCTURE with walks of up to three steps: what longer walks are worth, at n^3 a step.

gera-jax train --config configs/ablations/structure_three_steps.py:source=clipart,pairs=300 --output runs/structure_three
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"structure:levels=3,{arg or ''}".rstrip(","))
