"""G2L without geodesic weights: a sentence's one positive is its best moment, and every other far one is pushed alike.

    gera-jax train --config configs/ablations/g2l_no_geodesic.py --output runs/g2l_no_geodesic

On the bundled phrases this is the best arm: docs/results/g2l.md.
The moments that meet the sentences in the Shapley term are still chosen by geodesic similarity.
"""

from gera_jax import config


def get_config(arg=None):
    c = config.load(f"g2l:{arg}" if arg else "g2l")
    c.losses.sentence_to_moment.inputs.similarity = "source"
    return c
