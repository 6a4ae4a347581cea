"""SSPC: each row's relation to learned anchors is kept between the input space and the joint space (arXiv 2308.13077).

    gera-jax train --config sspc:source=clipart,pairs=300 --output runs/sspc
    gera-jax train --config sspc:source=emoji3,pairs=300 --output runs/sspc3     # image, text and speech at once

Works for two modalities and for three, in which rows may lack one. `structure=0` is the contrastive-only twin, `queue=0` codes of
the batch alone. What the term is worth: docs/methods/sspc.md.

Expected, the first command over 5 seeds (500 test rows; docs/results/systems.md): R@10 36.6, standard deviation 1.7, within 0.3
of the twin's. About 5 s on one core.
"""

from gera_jax import config

MINOR = 0.1  # weight of whatever involves a third modality


def get_config(arg=None):
    arg = config.parse_arg(
        arg,
        source="clipart",
        x="",
        y="",
        w="",
        pairs=-1,
        structure=1.0,
        link="linear",
        anchors=64,
        queue=-1,
        start="ridge_cca",
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    names = config.modalities(c)
    main = names[:2]

    def weight(a, b):
        return 1.0 if a in main and b in main else MINOR

    c.model.update(head="linear", dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.model.anchors.count = arg.anchors
    c.batch.pairs = 128
    queue = min(1_024, c.data.pairs or 1_024) if arg.queue < 0 else arg.queue
    c.buffers = dict(length=queue, of=[f"{space}.{name}" for space in ("features", "z") for name in names] if queue else [])

    # NormSoftmax sums the two directions of which symmetric_info_nce is the mean.
    share = {pair: 2 * weight(*pair) / sum(weight(*other) for other in config.pairs(names)) for pair in config.pairs(names)}
    c.losses = config.each_pair(names, "symmetric_info_nce", prefix="contrastive", weight=share)
    for a in names:  # the modality whose anchors they are
        for b in names:  # the modality whose projection is described
            queues = dict(x_queue=f"queue.features.{a}", z_queue=f"queue.z.{b}") if queue else {}
            anchors = dict(x_anchors=f"anchors.features.{a}", z_anchors=f"anchors.z.{a}")
            c.losses[f"anchors_{a}_{b}"] = dict(
                fn="anchor_consistency",
                inputs=dict(x=f"features.{a}", z=f"z.{b}", **anchors, **queues),
                weight=arg.structure * weight(a, b),
                kwargs=dict(link=arg.link),
            )
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
