"""G2L: find the stretch of a recording that a sentence is about, by geodesic distance and game theory (arXiv 2307.14277).

    gera-jax train --config g2l --workdir runs/g2l
    gera-jax evaluate runs/g2l

A map of proposals, the overlap of each by cross-entropy, moments that find their sentence, sentences that find their moments
with geodesic weights, and Shapley interactions as soft labels. What each part is worth: docs/results/g2l.md.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="phrases", geodesic=True, shapley=True, contrast=True, start="ridge_cca", seed=0,
                           smoke=False)
    c = config.grounding()
    c.seed = arg.seed
    c.data.source = arg.source
    c.model.update(pooling=[15], dim=128, channels=64, layers=2, kernel=3, init=arg.start)
    head = dict(s="s.contrast", v="v.contrast")
    c.losses = {"overlap": dict(fn="moment_bce", inputs=dict(s="s.iou", v="v.iou", iou="iou"), weight=1.0, kwargs={})}
    if arg.contrast:
        c.losses["moment_to_sentence"] = dict(fn="moment_to_sentence", weight=0.1, kwargs=dict(margin=0.1), inputs=dict(
            **head, iou="iou", sentence_iou="sentence_iou"))
        c.losses["sentence_to_moment"] = dict(fn="geodesic_guided_contrastive", weight=0.1, kwargs={}, inputs=dict(
            **head, iou="iou", similarity="similarity" if arg.geodesic else "source"))
    if arg.shapley:
        c.losses["shapley"] = dict(fn="shapley_interaction", weight=0.05, kwargs={}, inputs=dict(s="s.players", v="v.players"))
    c.batch.recordings = 8
    c.optimizer = config.adamw(lr=1e-3)
    c.total_epochs = 20
    c.evals.every_steps = 50
    c.log_every_steps = 100  # the gradient norm of every term is looked at then
    return config.smoke(c) if arg.smoke else c
