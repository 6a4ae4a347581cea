"""CSA refined by STRUCTURE: canonical directions weighted by their correlations, then trained for kept walks, hardly for pairs.

    gera-jax train --config csa_structure:source=clipart,pairs=300 --output runs/csa_structure

Takes the arguments of configs/structure.py; `structure=0` leaves the weak pull of the pairs alone. The released refinement pulls
pairs together without negatives, whitens again afterwards and leaves the correlations out; here they are in the heads' lengths.
"""

from gera_jax import config

PULL = 0.1  # of the contrast; released: 0.08 of the mean cosine of pairs at a batch of 4,096


def get_config(arg=None):
    c = config.load(f"structure:structure=5,{arg or ''}".rstrip(","))
    c.model.init_options = dict(correlation_power=1.0)
    for name, term in c.losses.items():
        if name.startswith("contrastive"):
            term.weight = PULL
        else:
            term.kwargs.temperature = 0.2
    return c
