"""STRUCTURE with walks over unpaired rows too: what rows without partners add to the term.

gera-jax train --config configs/ablations/structure_unpaired.py:source=clipart,pairs=300 --output runs/structure_unpaired
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"structure:rows=all,{arg or ''}".rstrip(","))
