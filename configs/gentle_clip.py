"""Gentle-CLIP (Set-CLIP): contrastive learning on pairs, plus terms that match the distributions of rows without partners.

    gera-jax train --config gentle_clip:source=clipart,pairs=300 --output runs/gentle_clip

Known pairs are told apart from every row of the batch; unpaired rows enter through two views of each modality, the semantic
density and MMD. `unpaired=independent` (two samples of items) or `same_set` (both rows of the same items, as released);
`sets=0` leaves the density and MMD out. arXiv 2406.05766; page: docs/methods/gentle_clip.md.

Expected, that command over 5 seeds (500 test rows; docs/results/systems.md): R@10 36.6, standard deviation 1.8, within 0.2 of
the twin's. About 35 s on a core shared with other work.
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
        unpaired="independent",
        matched=1.0,
        views=0.15,
        density=0.3,
        mmd=0.2,
        sets=1.0,
        form="leave_one_out",
        on="all",
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, unpaired=arg.unpaired, preprocess=config.smoothed_inputs(pca=256))
    names = config.modalities(c)
    sets = config.set_space(arg.on)

    c.model.update(head="linear", dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.views.update(noise=0.02, feature_dropout=0.1)
    c.losses = {
        **config.matched_pairs(names, weight=arg.matched),
        **{f"views_{name}": config.views_term(name, weight=arg.views) for name in names},
        **config.each_pair(names, "semantic_density", prefix="density", space=sets, weight=arg.sets * arg.density, form=arg.form),
        **config.each_pair(names, "mk_mmd", prefix="mmd", space=sets, weight=arg.sets * arg.mmd),
    }
    c.batch.update(pairs=256, unpaired=512)
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
