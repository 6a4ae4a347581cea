"""G2L: find the stretch of a recording that a sentence is about, by geodesic distance and game theory (arXiv 2307.14277).

    gera-jax train --config g2l --output runs/g2l
    gera-jax evaluate runs/g2l

A map of proposals, the overlap of each by cross-entropy, moments that find their sentence, sentences that find their moments
with geodesic weights, and Shapley interactions as soft labels. Bundled spoken phrases, test recordings, five seeds: mIoU 50.5,
R@1 at IoU .7 48.1 %. There the geodesic weights hurt (53.4 and 55.7 without them: configs/ablations/g2l_no_geodesic.py) and the
Shapley term does nothing measurable: docs/results/g2l.md. One run takes about 50 CPU seconds.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="phrases", start="ridge_cca", prior=True, seed=0, smoke=False)
    c = config.base("grounding")
    c.seed = arg.seed
    c.data.source = arg.source
    c.model.update(pooling=[15], dim=128, channels=64, layers=2, kernel=3, logit_bias=-5.0, prior=arg.prior, init=arg.start)
    if arg.smoke:
        c.model.update(pooling=[3], dim=16, channels=8, layers=1)
    contrast = dict(s="s.contrast", v="v.contrast", iou="iou")
    c.losses = {
        "overlap": dict(
            fn="moment_bce",
            inputs=dict(s="s.iou", v="v.iou", iou="iou", logit_bias="bias"),
            weight=1.0,
            kwargs=dict(iou_min=0.3, iou_max=0.7),
        ),
        "moment_to_sentence": dict(
            fn="moment_to_sentence", inputs=dict(**contrast, sentence_iou="sentence_iou"), weight=0.1, kwargs=dict(margin=0.1)
        ),
        "sentence_to_moment": dict(
            fn="geodesic_guided_contrastive", inputs=dict(**contrast, similarity="similarity"), weight=0.1, kwargs=dict()
        ),
        "shapley": dict(fn="shapley_interaction", inputs=dict(s="s.players", v="v.players"), weight=0.05, kwargs=dict()),
    }
    c.batch.recordings = 8
    c.optimizer = config.adamw(lr=1e-3)
    c.total_epochs = 8
    c.evals.every_steps = 50
    c.log_every_steps = 100  # the gradient norm of every term is looked at then
    return config.smoke(c) if arg.smoke else c
