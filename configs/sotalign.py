"""SOTAlign: sigmoid contrast on pairs, and transport plans of unpaired rows that follow a ridge-CCA teacher's (arXiv 2602.23353).

    gera-jax train --config sotalign:source=clipart,pairs=300 --output runs/sotalign

`transport=0` is the contrastive-only twin. The heads start at their teacher, with `head=linear` as in the paper; its students
start at random and take 2,000 steps of 10,000 pairs and more.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(
        arg,
        source="clipart",
        x="",
        y="",
        pairs=-1,
        transport=1e-3,
        unpaired=256,
        iterations=100,
        teacher_ridge=0.1,
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess={side: dict(pca=256) for side in ("x", "y")})
    names = config.modalities(c)

    c.model.update(head="linear", dim=128, init="ridge_cca", teacher=True, temperature=0.05, learn_temperature=False)
    c.model.init_options = dict(regularization=arg.teacher_ridge, correlation_power=0.0)
    a, b = names
    c.losses = config.each_pair(names, "sigmoid_contrastive", prefix="contrastive", logit_scale=20.0, logit_bias=-10.0)
    inputs = dict(x=f"z.unpaired.{a}", y=f"z.unpaired.{b}", x_teacher=f"teacher.unpaired.{a}", y_teacher=f"teacher.unpaired.{b}")
    c.losses["transport"] = dict(
        fn="ot_alignment",
        inputs=inputs,
        weight=arg.transport,
        kwargs=dict(epsilon=0.05, teacher_epsilon=0.01, iterations=arg.iterations),
    )
    c.batch.update(pairs=512, unpaired=arg.unpaired)
    c.optimizer = config.optimizer("lion", 1e-4, weight_decay=1e-5)
    c.total_steps = 120
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
