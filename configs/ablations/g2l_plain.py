"""G2L's twin without its contrasts: the 2-D map of proposals with the cross-entropy of their overlap, and nothing else.

    gera-jax train --config configs/ablations/g2l_plain.py --output runs/g2l_plain

A moment's score is its overlap probability alone, as the contrastive space is not trained.
"""

from gera_jax import config


def get_config(arg=None):
    c = config.load(f"g2l:{arg}" if arg else "g2l")
    for name in ("moment_to_sentence", "sentence_to_moment", "shapley"):
        del c.losses[name]
    c.model.power = 0.0
    return c
