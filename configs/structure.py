"""STRUCTURE: contrastive learning on pairs, plus a term that keeps random walks over each batch as they were before the heads.

    gera-jax train --config structure:source=clipart,pairs=300 --output runs/structure

`structure=0` is the contrastive-only twin, `start=random,structure=100` the setting that gained most on validation rows,
`rows=all` regularises on unpaired rows too. With files that have a layer axis, choose the layers first:
`gera-jax select-layers --config structure ...`. arXiv 2506.16895; page: docs/methods/structure.md.

Expected, that command over 5 seeds (500 test rows; docs/results/systems.md): R@10 36.7, standard deviation 1.7, the twin's to
0.1. About 9 s on a core shared with other work.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(
        arg,
        source="clipart",
        x="",
        y="",
        w="",
        pairs=-1,
        start="ridge_cca",
        head="linear",
        structure=10.0,
        levels=1,
        divergence="js",
        rows="pairs",
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    names = config.modalities(c)

    c.model.update(head=arg.head, dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.losses = config.each_pair(names, "symmetric_info_nce", prefix="contrastive")
    for name in names:
        c.losses[f"structure_{name}"] = config.structure(
            name,
            rows=arg.rows,
            weight=dict(kind="constant", end=arg.structure, warmup_percent=20.0),
            levels=arg.levels,
            divergence=arg.divergence,
            temperature=0.05,
        )
    c.batch.update(pairs=512, unpaired=512 if arg.rows == "all" else 0)
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
