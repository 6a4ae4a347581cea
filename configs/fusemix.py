"""FuseMix: contrastive learning on pairs mixed with other pairs, by the same share in both modalities (arXiv 2312.10144).

    gera-jax train --config fusemix:source=clipart,pairs=300 --output runs/fusemix

Rows are mixed before the heads, lam ~ Beta(alpha, alpha) once a step; the mixed batch is the whole loss. The paper's heads are
residual MLPs from a random start; `start=ridge_cca` starts them at a closed form, which few pairs need.
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
        alpha=1.0,
        dropout=0.6,
        start="random",
        head="residual_mlp",
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess={side: dict(pca=256) for side in ("x", "y", "w")})
    names = config.modalities(c)

    c.model.update(head=arg.head, dim=128, init=arg.start, temperature=0.07, learn_temperature=True)
    if arg.head == "residual_mlp":
        c.model.options = dict(dropout=arg.dropout)
    c.mixed.update(on=True, alpha=arg.alpha)
    c.losses = {
        name: {**term.to_dict(), "inputs": {**term.inputs.to_dict(), "logit_scale": "logit_scale"}}
        for name, term in config.each_pair(names, "symmetric_info_nce", prefix="contrastive", space="z.mixed").items()
    }
    c.batch.pairs = 512
    c.optimizer = config.adamw(lr=1e-3 if arg.start == "random" else 1e-4, warmup_steps=20, weight_decay=0.1)
    c.total_steps = 300 if arg.start == "random" else 120
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
