"""m3-Mix: m2-Mix, and rows mixed with other rows of their own modality, with soft targets (arXiv 2203.03897).

    gera-jax train --config m3mix:source=clipart,pairs=300 --output runs/m3mix

Each of the four terms draws its own lam. `target=both` is the released form of the VL term. Page: docs/methods/m2mix.md.

Expected, that command over 5 seeds (500 test rows; docs/results/systems.md): R@10 36.7, standard deviation 1.7, and the twin's
(`m2mix:mix=0`) too, for both keep the start in every seed. About 17 s on a core shared with other work.
"""

from gera_jax import config

ALPHAS = dict(m2=0.2, v=0.5, l=0.5, vl=0.5)


def get_config(arg=None):
    arg = config.parse_arg(
        arg,
        source="clipart",
        x="",
        y="",
        pairs=-1,
        mix=0.01,
        within=0.05,
        across=0.1,
        target="identity",
        head="residual_mlp",
        start="ridge_cca",
        schedule="inverse_epoch",
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    x, y = config.modalities(c)
    z = dict(x=f"z.{x}", y=f"z.{y}")

    c.model.update(head=arg.head, dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.draws = {kind: dict(kind="beta", alpha=alpha, beta=alpha) for kind, alpha in ALPHAS.items()}
    c.losses = {"contrastive": dict(fn="symmetric_info_nce", inputs=z, weight=1.0, kwargs={})}
    scales, targets = dict(m2=dict(logit_scale=1 / 0.07)), dict(vl=dict(target=arg.target))
    for kind, weight in dict(m2=arg.mix, v=arg.within, l=arg.within, vl=arg.across).items():
        c.losses[kind] = dict(
            fn="geodesic_mixup_contrastive",
            inputs={**z, "lam": f"draws.{kind}"},
            weight=dict(kind=arg.schedule, start=weight, end=weight),
            kwargs=dict(kind=kind, **scales.get(kind, {}), **targets.get(kind, {})),
        )
    c.batch.pairs = 128
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
