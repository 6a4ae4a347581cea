"""The blocks that configs are made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from gera_jax import checks
from gera_jax.config.values import path_and_key

SLOTS = ("x", "y", "w")
DURATIONS = ("total_steps", "total_epochs", "total_examples")


def embedding_pair(source: str = "clipart", **fields: Any) -> ConfigDict:
    """The `data` block: where the tables come from, which pairs are known, how rows are split and prepared.

    Args:
      source: a catalog name (`gera-jax data list`), or "files" with `x=dict(path=...)`, `y=dict(path=...)`; a third modality
        is the slot w, absent while its name is "".
      **fields: any field of the block below.
    """
    names, recommended = _recommended(source)
    block = ConfigDict(
        dict(
            source=source,
            # layer: which one of an array [n, layers, d], as text ("7", "-1"); "" for a matrix
            **{side: dict(name=name, path="", key="", ids="", layer="") for side, name in zip(SLOTS, names, strict=True)},
            test={side: dict(path="", key="", ids="", layer="") for side in SLOTS},
            pairs=1_000,  # 0 = every pair that is known
            unpaired="independent",  # | "same_set" | "none"
            captions=False,  # whether several rows of one modality may share an id
            # val, test: a number of pairs, or a share below 1
            split=dict(by="ratio", val=300.0, test=500.0, seed=0, val_ids="", test_ids="", group_key=""),
            preprocess={side: preprocess(**options) for side, options in zip(SLOTS, recommended, strict=True)},
        )
    )
    for name, value in fields.items():
        checks.require_known(name, block, "field of data")
        if isinstance(value, Mapping | ConfigDict):
            block[name].update(ConfigDict(value))
        else:
            block[name] = value
    return block


def preprocess(**fields: Any) -> ConfigDict:
    """What happens to features before training, in this order: centre or standardise, PCA, L2, diffusion filter."""
    block = dict(center=True, standardize=False, pca=0, l2=True, filter=graph_filter(strength=0.0))
    return ConfigDict({**block, **fields})


def graph_filter(
    strength: float = 0.5, *, k: int = 10, temperature: float = 0.1, concatenate: bool = True, max_pool: int = 20_000
) -> ConfigDict:
    """Mixes a row with its neighbours in the training pool: (1 - strength) x + strength P x; 0 = off."""
    return ConfigDict(dict(strength=strength, k=k, temperature=temperature, concatenate=concatenate, max_pool=max_pool))


def smoothed_inputs(*, pca: int = 256) -> dict[str, Any]:
    """Every modality: PCA, and each row beside its mean over near training rows."""
    return {side: dict(pca=pca, filter=graph_filter(0.5)) for side in SLOTS}


def sides(c: Mapping) -> list[str]:
    """Slots of the `data` block that are in use: "x", "y" and, where it has a name, "w"."""
    return [side for side in SLOTS if c["data"][side]["name"]]


def modalities(c: Mapping) -> tuple[str, ...]:
    """Names of a config's modalities, in the order of their slots."""
    return tuple(c["data"][side]["name"] for side in sides(c))


def pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Every pair of modalities, once.

    >>> pairs(("image", "text", "speech"))
    [('image', 'text'), ('image', 'speech'), ('text', 'speech')]
    """
    return list(itertools.combinations(names, 2))


def each_pair(
    names: Iterable[str],
    fn: str,
    *,
    prefix: str = "",
    space: str = "z",
    arguments: tuple[str, str] = ("x", "y"),
    weight: Any = 1.0,
    **kwargs: Any,
) -> dict[str, ConfigDict]:
    """One term for each pair of modalities, named <prefix>_<a>_<b>; for the `losses` block.

    Args:
      names: modalities; see `modalities`.
      fn: the loss; `prefix` is its name unless given.
      space: what of each modality goes in: "z", "features", "z.mixed", "unpaired", ...
      arguments: which arguments the two take.
      weight: of every term, or (a, b) -> weight as a mapping; pairs that it lacks get no term.
      **kwargs: further arguments of the loss.

    >>> terms = each_pair(("image", "text", "speech"), "symmetric_info_nce", prefix="contrastive", logit_scale=20.0)
    >>> list(terms), terms["contrastive_image_text"].inputs.to_dict()
    (['contrastive_image_text', 'contrastive_image_speech', 'contrastive_text_speech'], {'x': 'z.image', 'y': 'z.text'})
    """
    by_pair = isinstance(weight, Mapping) and all(isinstance(key, tuple) for key in weight)
    chosen = {pair: weight[pair] if by_pair else weight for pair in pairs(names) if not by_pair or pair in weight}
    return {
        f"{prefix or fn}_{a}_{b}": ConfigDict(
            dict(fn=fn, inputs=dict(zip(arguments, (f"{space}.{a}", f"{space}.{b}"), strict=True)), weight=value, kwargs=kwargs)
        )
        for (a, b), value in chosen.items()
    }


def own_or_catalog(arg: Mapping, **fields: Any) -> ConfigDict:
    """The `data` block of a config's arguments: the files `x`, `y` (and `w`) where given, else the catalog's `source`."""
    given = {side: arg[side] for side in SLOTS if arg.get(side)}
    if not given:
        return embedding_pair(arg["source"], pairs=arg["pairs"], **fields)
    if "x" not in given or "y" not in given:
        checks.fail("x, y", got=f"x={arg['x']!r}, y={arg['y']!r}", wanted="both files, or neither")
    files = {side: dict(zip(("path", "key"), path_and_key(text), strict=True)) for side, text in given.items()}
    if "w" in files:
        files["w"]["name"] = "w"
    return embedding_pair("files", pairs=arg["pairs"], **files, **fields)


def geometry(name: str, *, weight: Any = 1.0, **kwargs: Any) -> ConfigDict:
    """A term that keeps the diffusion operator of each neighbourhood of modality `name`."""
    inputs = dict(x=f"neighbours.{name}", z=f"z.neighbours.{name}")
    return ConfigDict(dict(fn="diffusion_alignment", inputs=inputs, weight=weight, kwargs=kwargs))


def structure(name: str, *, rows: str = "pairs", weight: Any = 1.0, **kwargs: Any) -> ConfigDict:
    """A term that keeps the walks over a batch's rows of modality `name`: its known pairs, or "all" of its rows."""
    checks.require_known(rows, ("pairs", "all"), "rows")
    inputs = dict(x=f"features.{name}", z=f"z.{name}") if rows == "pairs" else dict(x=f"all.{name}", z=f"z.all.{name}")
    return ConfigDict(dict(fn="structure_divergence", inputs=inputs, weight=weight, kwargs=kwargs))


def matched_pairs(names: Iterable[str], *, weight: float = 1.0, **kwargs: Any) -> dict[str, ConfigDict]:
    """Terms that tell each known pair apart from all rows of the batch, unpaired ones too, in both directions."""
    return {
        f"matched_{a}_{b}": ConfigDict(
            dict(
                fn="info_nce",
                inputs=dict(x=f"z.all.{a}", y=f"z.all.{b}", x_mask=f"mask.known.{a}"),
                weight=weight / 2,
                kwargs=kwargs,
            )
        )
        for pair in pairs(names)
        for a, b in (pair, pair[::-1])
    }


def views_term(name: str, *, rows: str = "all", weight: Any = 1.0, **kwargs: Any) -> ConfigDict:
    """A term that tells two views of each row of modality `name` apart from those of other rows (see the `views` block)."""
    space = set_space(rows)
    return ConfigDict(
        dict(
            fn="nt_xent",
            inputs=dict(x=f"{space}.{name}", y=f"{space.replace('z', 'z.view', 1)}.{name}"),
            weight=weight,
            kwargs=kwargs,
        )
    )


def set_space(rows: str) -> str:
    """Context keys of projected rows of a kind: "pairs", "unpaired" or "all" of both.

    >>> [set_space(rows) for rows in ("pairs", "unpaired", "all")]
    ['z', 'z.unpaired', 'z.all']
    """
    checks.require_known(rows, ("pairs", "unpaired", "all"), "rows")
    return "z" if rows == "pairs" else f"z.{rows}"


def graph(on: str, *, knn: int = 16, metric: str = "euclidean", max_rows: int = 50_000) -> ConfigDict:
    """A neighbour table over the training rows of one modality (at most `max_rows` of them, drawn by the seed)."""
    return ConfigDict(dict(on=on, knn=knn, metric=metric, max_rows=max_rows))


def adamw(lr: float = 1e-3, **fields: Any) -> ConfigDict:
    """The `optimizer` block with optax.adamw."""
    return optimizer("adamw", lr, **fields)


def optimizer(
    name: str,
    lr: float,
    *,
    schedule: str = "cosine",
    warmup_steps: int = 0,
    clip_norm: float = 1.0,
    ema: float = 0.0,
    **options: Any,
) -> ConfigDict:
    """Any optimiser of optax by name; `options` are its own arguments, `ema` the decay of averaged parameters (0 = off)."""
    return ConfigDict(
        dict(name=name, lr=lr, schedule=schedule, warmup_steps=warmup_steps, clip_norm=clip_norm, ema=ema, options=options)
    )


def base() -> ConfigDict:
    """Every field that a run has, with the default of each; a config changes what its experiment is about."""
    return ConfigDict(
        dict(
            task="alignment",
            seed=0,
            data=embedding_pair(),
            model=dict(
                head="linear",
                dim=256,
                init="ridge_cca",
                init_options=dict(),
                temperature=0.07,
                learn_temperature=True,
                options=dict(),
                teacher=False,  # whether terms may ask for teacher.<modality>: rows of the heads' closed-form start
                anchors=dict(count=0),
            ),  # learned points of each modality, in both spaces; 0 = off
            graphs=dict(),
            losses=dict(),
            batch=dict(pairs=512, anchors=0, unpaired=0),
            views=dict(noise=0.0, feature_dropout=0.0),  # what makes z.view.* differ from z.*, beside the head's dropout
            mixed=dict(on=False, alpha=1.0),  # z.mixed.*: rows mixed with a partner's, lam ~ Beta(alpha, alpha)
            draws=dict(),  # name -> dict(kind="beta", alpha=, beta=): draws.<name>, a number of each step
            buffers=dict(length=0, of=[]),  # queue.<key> for each key of `of`: rows of past steps; 0 = off
            optimizer=adamw(),
            total_steps=0,
            total_epochs=0,
            total_examples=0,  # exactly one of them
            evals=dict(every_steps=50, metric="mean/R@10", patience=0),  # patience in evaluations, 0 = off
            checkpoint=dict(every_steps=200, latest=2, best=1),
            log_every_steps=10,  # losses and the gradient norm of each term; 0 = never
            tensorboard="auto",  # | "on" | "off"
            parallel="auto",  # | "jit" | "pmap" | "shard_map"
        )
    )


def comparison(**fields: Any) -> ConfigDict:
    """The fields of `gera_jax.compare`: data, methods, pair counts, seeds, and the budget of trials of each method.

    Args:
      **fields: any field of the block below; x, y, pairs, x_unpaired and y_unpaired are files, val and test 0 = by rule.

    >>> comparison(data="emoji", seeds=3).seeds
    3
    """
    block = ConfigDict(
        dict(
            data="",
            x="",
            y="",
            pairs="",
            x_unpaired="",
            y_unpaired="",
            x_ids="",
            y_ids="",
            x_unpaired_ids="",
            y_unpaired_ids="",
            methods=(),
            counts=(),
            seeds=5,
            budget=4,
            metric="mean/R@10",
            split="random",  # | "grouped"
            unpaired="independent",  # | "same_set" | "none"
            val=0,
            test=0,
            group_key="",
        )
    )
    for name, value in fields.items():
        checks.require_known(name, block, "field of comparison")
        block[name] = value
    return block


def grounding() -> ConfigDict:
    """Every field of a run of the task "grounding": sentences and the stretches of recordings that they are true of."""
    c = base()
    for field in ("graphs", "views", "mixed", "draws"):
        del c[field]
    c.task = "grounding"
    c.data = ConfigDict(
        dict(
            source="phrases",  # | "files"
            annotations=dict(format="activitynet", train="", val="", test="", durations=""),  # | "charades" | "tacos"
            clips=dict(
                path="", length=64, seconds=0.0
            ),  # longer recordings are averaged to `length`; seconds of a clip, if known
            sentences=dict(train="", val="", test=""),  # .npy, one row a sentence in the order of the annotation
            outside="error",  # | "cut": spans that stand over their recording
            recordings=0,  # 0 = all training recordings
        )
    )
    c.model = ConfigDict(
        dict(
            pooling=[15, 8, 8],
            dim=128,
            channels=64,
            layers=2,
            kernel=3,
            dropout=0.0,
            power=0.5,
            logit_scale=10.0,
            logit_bias=0.0,
            prior=False,  # of the score; see ProposalMap
            init="ridge_cca",
            init_options=dict(),
        )
    )
    c.moments = ConfigDict(dict(knn=5, cutoff=0.5, nearest=5, similar=5))
    c.batch = ConfigDict(dict(recordings=8, sentences=0))
    c.evals.metric = "mIoU"
    return c


def smoke(c: ConfigDict) -> ConfigDict:
    """The same experiment, small enough to end in seconds: to see that everything fits together."""
    for name in DURATIONS:
        c[name] = 0
    c.total_steps = 4
    c.evals.every_steps = 2
    c.checkpoint.every_steps = 2
    c.log_every_steps = 1
    for name, most in dict(pairs=32, anchors=8, unpaired=32, recordings=4, sentences=4).items():
        if name in c.batch:
            off_is_zero = name in ("anchors", "unpaired")
            c.batch[name] = min(c.batch[name] if off_is_zero else c.batch[name] or most, most)
    return c


def _recommended(source: str) -> tuple[Iterable[str], Iterable[Mapping]]:
    """Names of the modalities, one a slot, and what the catalog recommends to do with their rows first."""
    from gera_jax.data import blocks, catalog

    checks.require_known(source, blocks.known_sources(), "data.source")
    if source not in catalog.names():
        return ("x", "y", ""), ({}, {}, {})
    entry = catalog.info(source)
    absent = len(SLOTS) - len(entry.names)
    return (*entry.names, *[""] * absent), [*(entry.preprocess[name] for name in entry.names), *[{}] * absent]
