"""SSPC on pictures and texts of the emoji set: what speech as a third modality is worth to them, beside sspc:source=emoji3.

gera-jax train --config configs/ablations/sspc_two_modalities.py:pairs=300 --output runs/sspc_two
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"sspc:source=emoji,{arg or ''}".rstrip(","))
