"""SSPC with codes balanced over the batch alone: what the queues are worth.

gera-jax train --config configs/ablations/sspc_no_queue.py:source=clipart,pairs=300 --output runs/sspc_no_queue
"""

from gera_jax import config


def get_config(arg=None):
    return config.load(f"sspc:queue=0,{arg or ''}".rstrip(","))
