"""The blocks that configs are made of; their fields and defaults stand in `gera_jax.config.schema`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from gera_jax import checks
from gera_jax.config import schema
from gera_jax.config.files import ConfigDict, path_and_key
from gera_jax.config.schema import BUNDLED, DURATIONS, SLOTS, known_sources

BENCHMARK_SPLIT = dict(val=300.0, test=500.0)  # pairs of every table in docs/results


def block_of(fields: schema.Block, name: str, given: Mapping[str, Any]) -> ConfigDict:
    """A block of the schema's defaults with the values of `given` in place; what is of another type the run's check says."""
    return ConfigDict(schema.filled(ConfigDict(given).to_dict(), schema.defaults(fields), name))


def embedding_pair(source: str = "clipart", **fields: Any) -> ConfigDict:
    """The `data` block: where the tables come from, which pairs are known, how rows are split and prepared.

    A bundled set brings the names of its modalities and its recommended preprocessing; other tables are called x and y.

    Args:
      source: a catalog name (`gera-jax data list`), or "files" with `x=dict(path=...)`, `y=dict(path=...)`; a third modality
        is the slot w, absent while its name is "".
      **fields: any field of `schema.DATA`; those of `x`, `y`, `w`, `test`, `split` and `preprocess` are blocks.

    >>> embedding_pair("emoji", pairs=50).y.name
    'text'
    """
    checks.require_known(source, known_sources(), "data.source")
    recommended = BUNDLED[source].preprocess if source in BUNDLED else dict(x={}, y={})
    names = dict(zip(SLOTS, recommended, strict=False))
    own: dict[str, Any] = {slot: dict(name=name) for slot, name in names.items()}
    own |= dict(source=source, split={} if source in ("files", "arrays") else BENCHMARK_SPLIT)
    own |= dict(preprocess={slot: recommended[name] for slot, name in names.items()})
    block = schema.filled(own, schema.defaults(schema.DATA), "data")
    return ConfigDict(schema.filled(ConfigDict(fields).to_dict(), block, "data"))


def preprocess(**fields: Any) -> ConfigDict:
    """What happens to features before training, in this order: centre or standardise, PCA, L2, diffusion filter."""
    return block_of(schema.PREPROCESS, "preprocess", fields)


def graph_filter(strength: float = 0.5, **fields: Any) -> ConfigDict:
    """Mixes a row with its neighbours among the training rows: (1 - strength) x + strength P x."""
    return block_of(schema.FILTER, "filter", dict(strength=strength, **fields))


def smoothed_inputs(*, pca: int = 256) -> dict[str, Any]:
    """Every modality: PCA, and each row beside its mean over near training rows."""
    return {side: dict(pca=pca, filter=graph_filter(0.5)) for side in SLOTS}


def sides(data: Mapping | ConfigDict) -> tuple[str, ...]:
    """Slots of a `data` block that are in use: those whose modality has a name.

    >>> sides(embedding_pair("emoji")), sides(embedding_pair("emoji3"))
    (('x', 'y'), ('x', 'y', 'w'))
    """
    return tuple(side for side in SLOTS if data[side]["name"])


def modalities(c: Mapping | ConfigDict) -> tuple[str, ...]:
    """Names of a config's modalities, in the order of their slots."""
    return tuple(c["data"][side]["name"] for side in sides(c["data"]))


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
    """The `data` block of a config's arguments: the files `x`, `y` (and `w`) where given, else the catalog's `source`.

    `pairs=-1` leaves the number of known pairs open: all of one's own files, 800 of the emoji sets, 1,000 of another.

    >>> own_or_catalog(dict(source="emoji", x="", y="", pairs=-1)).pairs
    800
    >>> own_or_catalog(dict(source="emoji", x="a.npy", y="b.npy", pairs=-1)).pairs
    0
    """
    given = {side: arg[side] for side in SLOTS if arg.get(side)}
    benchmark = BUNDLED[arg["source"]].pairs if arg["source"] in BUNDLED else 1_000
    known = arg["pairs"] if arg["pairs"] != -1 else 0 if given else benchmark
    if not given:
        return embedding_pair(arg["source"], pairs=known, **fields)
    if "x" not in given or "y" not in given:
        checks.fail("x, y", got=f"x={arg['x']!r}, y={arg['y']!r}", wanted="both files, or neither")
    files: dict[str, dict] = {side: dict(zip(("path", "key"), path_and_key(text), strict=True)) for side, text in given.items()}
    if "w" in files:
        files["w"]["name"] = "w"
    return embedding_pair("files", pairs=known, **files, **fields)


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


def graph(on: str, **fields: Any) -> ConfigDict:
    """A neighbour table over the training rows of one modality."""
    return block_of(schema.GRAPH, "graphs", dict(on=on, **fields))


def adamw(lr: float = schema.OPTIMIZER["lr"].default, **fields: Any) -> ConfigDict:
    """The `optimizer` block with optax.adamw."""
    return optimizer("adamw", lr, **fields)


def optimizer(name: str, lr: float, **fields: Any) -> ConfigDict:
    """Any optimiser of optax by name; what is no field of the block (`schema.OPTIMIZER`) is an argument of the optimiser.

    >>> block = optimizer("lion", 1e-4, warmup_steps=10, weight_decay=1e-5)
    >>> block.warmup_steps, block.options.to_dict()
    (10, {'weight_decay': 1e-05})
    """
    own = {word: value for word, value in fields.items() if word in schema.OPTIMIZER}
    options = {word: value for word, value in fields.items() if word not in schema.OPTIMIZER}
    return block_of(schema.OPTIMIZER, "optimizer", dict(name=name, lr=lr, **own, options=options))


def base(task: str = "alignment") -> ConfigDict:
    """Every field that a run of a task has, with the default of each; a config changes what its experiment is about.

    >>> base().optimizer.lr, base("grounding").evals.metric
    (0.001, 'mIoU')
    """
    checks.require_known(task, schema.TASKS, "task")
    return ConfigDict(schema.defaults(schema.TASKS[task]))


def comparison(**fields: Any) -> ConfigDict:
    """The fields of `gera_jax.compare`: data, methods, pair counts, seeds, and the budget of trials of each method.

    >>> comparison(data="emoji", seeds=3).seeds
    3
    """
    return block_of(schema.COMPARISON, "comparison", fields)


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
