"""Every field of a config: its default, its meaning, and which values it takes. Each default stands here and nowhere else.

`gera_jax.config.base` makes configs of this table, `require_fields` and `gera-jax check` hold configs against it, and
`gera-jax config NAME` prints a config with the meanings. A block is a dict of fields and blocks. The type of a field is that of
its default. A field whose default is an empty dict is open: it may hold any fields. What only a preprocessor, a head, a loss or
an optimiser knows of its own arguments is said by them when they are built.

>>> OPTIMIZER["lr"].default, OPTIMIZER["lr"].rule.wanted
(0.001, 'above 0')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gera_jax import checks

SLOTS: tuple[str, ...] = ("x", "y", "w")
DURATIONS = ("total_steps", "total_epochs", "total_examples")
MOST = 2**31 - 1  # what a step counter, an index or a seed on a device can hold


class Rule(NamedTuple):
    """What a value must be, in words, and whether it is."""

    wanted: str
    holds: Callable[[Any], bool]
    also: tuple[type, ...] = ()  # types that are fine beside that of the default
    choices: tuple[str, ...] = ()  # every value, where there are few


class Field(NamedTuple):
    """A field of a config."""

    default: Any
    meaning: str
    rule: Rule | None = None


Block = Mapping[str, Any]  # name -> Field or Block


def at_least(low: float, most: float = MOST) -> Rule:
    """A number from `low` to `most`."""
    return Rule(f"at least {low}" + (f", at most {most}" if most < MOST else ""), lambda value: low <= value <= most)


def one_of(*choices: str) -> Rule:
    """One of a few words."""
    quoted = [f'"{word}"' for word in choices]
    return Rule(f"{', '.join(quoted[:-1])} or {quoted[-1]}", lambda value: value in choices, choices=choices)


def defaults(block: Block) -> dict[str, Any]:
    """A fresh block of the defaults.

    >>> defaults(SCHEDULED_EVALS)
    {'every_steps': 50, 'metric': 'mean/R@10', 'patience': 0}
    """
    made = {}
    for name, field in block.items():
        value = field.default if isinstance(field, Field) else defaults(field)
        made[name] = value.copy() if isinstance(value, dict | list) else value
    return made


def filled(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The block `known` with the values of `given` in place, inner blocks likewise; a field that `known` lacks is refused.

    An empty inner block of `known` is open: it takes any fields.

    >>> filled({"pca": 8, "filter": {"k": 5}}, defaults(PREPROCESS), "preprocess")["filter"]
    {'strength': 0.0, 'k': 5, 'temperature': 0.1, 'concatenate': True, 'max_pool': 20000}
    """
    made = dict(known)
    for name, value in given.items():
        checks.require_known(name, known, f"field of {where}")
        inner = known[name]
        if isinstance(inner, Mapping) and inner:
            wanted = f"a block with {sorted(inner)}"
            checks.require(isinstance(value, Mapping), f"{where}.{name}", got=repr(value), wanted=wanted)
            value = filled(value, inner, f"{where}.{name}")
        made[name] = value
    return made


ABOVE_0 = Rule("above 0", lambda value: value > 0)
ANY_NUMBER = at_least(0)
SHARE = Rule("a share from 0 to below 1", lambda value: 0 <= value < 1)
ROWS = at_least(0, 2**20)  # of a batch
WIDTH = at_least(1, 2**16)


def _is_size(value: Any) -> bool:
    if isinstance(value, str):
        return value == "auto"
    return value is None or 0 <= value < 1 or (value >= 1 and float(value).is_integer())


SIZE = Rule("a number of rows, a share below 1, or None", _is_size, (type(None), int, float, str))
COUNTS = Rule(
    "whole numbers from 0 to 4096",
    lambda value: all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 4096 for v in value) and len(value) <= 8,
)
PARTS = Rule("a list of numbers of at least 0", lambda value: all(isinstance(v, int | float) and v >= 0 for v in value))
IDS = Rule("a file of ids, or a list of them", lambda value: True, (list, tuple))
LAYER = Rule("the number of a layer", lambda value: True, (int,))
PARALLEL = one_of("auto", "jit", "pmap", "shard_map")
NAME = Rule('a name without "." and "/"', lambda value: bool(value) and not set(value) & set("./"))
NAME_OR_NONE = Rule(NAME.wanted, lambda value: not value or NAME.holds(value))
WORDS = Rule("a list of words", lambda value: all(isinstance(v, str) for v in value))
UNPAIRED = ("independent", "same_set", "none")
SPLITS = ("random", "group", "ids")
STARTS = ("ridge_cca", "procrustes", "random")
HEADS = ("linear", "residual_mlp", "low_rank_residual", "projection_mlp", "identity")

FILTER = dict(
    strength=Field(0.0, "share b of the neighbours' mean in x <- (1 - b) x + b P x; 0 = no smoothing"),
    k=Field(10, "neighbours among the training rows"),
    temperature=Field(0.1, "temperature of the softmax over the neighbours"),
    concatenate=Field(True, "keep each row beside its smoothed form, twice as wide"),
    max_pool=Field(20_000, "most training rows that neighbours are looked for in"),
)
PREPROCESS = dict(
    center=Field(True, "subtract the mean of the training rows"),
    standardize=Field(False, "divide each dimension by its standard deviation over the training rows"),
    pca=Field(0, "principal directions to keep; 0 = all dimensions as they are"),
    l2=Field(True, "scale rows to length 1"),
    filter=FILTER,
    parts=Field([], "widths of the tables that stand side by side in a row; [] = as the files say", PARTS),
    weights=Field([], "weight of each of these tables; [] = from held-out pairs, equal below 100 pairs", PARTS),
)
FILE = dict(
    path=Field("", 'file of embeddings, where data.source is "files"'),
    key=Field("", "array or column in the file that holds the rows"),
    ids=Field("", "array, column or file that holds the ids of the rows"),
    layer=Field("", 'which layer of an array [n, layers, d], as text ("7", "-1"); "" for a matrix', LAYER),
)
SPLIT = dict(
    by=Field(
        "random", "how items are held out: by the seed, in whole groups of look-alikes, or by lists of ids", one_of(*SPLITS)
    ),
    val=Field(None, "validation pairs: a number, a share below 1, or None: a tenth of all, at most 300", SIZE),
    test=Field(None, "test pairs: a number, a share below 1, or None: a quarter of all, at most 500", SIZE),
    seed=Field(0, "seed of the split", ANY_NUMBER),
    val_ids=Field("", 'ids of the validation items, where by="ids": a file or a list', IDS),
    test_ids=Field("", 'ids of the test items, where by="ids": a file or a list', IDS),
    group_key=Field("", 'field of the metadata that look-alikes share, where by="group"'),
)
DATA = dict(
    source=Field("files", 'a bundled set (`gera-jax data list`), "files", or "arrays" for tables in memory'),
    **{
        slot: dict(name=Field("", f"name of the {which} modality{more}", rule), **FILE)
        for slot, which, more, rule in (
            ("x", "first", "", NAME),
            ("y", "second", "", NAME),
            ("w", "third", '; "" = there are two', NAME_OR_NONE),
        )
    },
    test=dict.fromkeys(SLOTS, FILE),
    unpaired_rows=dict.fromkeys(SLOTS, FILE),  # files of further rows without a partner
    pairs=Field(0, "known pairs to train on; 0 = all of them", ANY_NUMBER),
    pair_list=Field("", "file of the known pairs; empty = rows whose ids match"),
    unpaired=Field(
        "independent", "rows without a known partner: of other items in each modality, of the same, or none", one_of(*UNPAIRED)
    ),
    captions=Field(False, "whether several rows of one modality may share an id"),
    split=SPLIT,
    preprocess=dict.fromkeys(SLOTS, PREPROCESS),
)
CLIPS_DATA = dict(
    source=Field("phrases", 'the bundled set "phrases", "files", or "arrays" for recordings in memory'),
    annotations=dict(
        format=Field("activitynet", "layout of the annotations", one_of("activitynet", "charades", "tacos", "qvhighlights")),
        train=Field("", "annotations of the training recordings"),
        val=Field("", "annotations of the validation recordings"),
        test=Field("", "annotations of the test recordings"),
        durations=Field("", "file of the recordings' lengths in seconds, where the layout lacks them"),
    ),
    clips=dict(
        path=Field("", "file or folder of the clips' features"),
        length=Field(64, "clips of a recording; longer recordings are averaged down to this many", at_least(1, 2**20)),
        seconds=Field(0.0, "seconds of a clip, where known; 0 = unknown", ANY_NUMBER),
    ),
    sentences=dict(
        train=Field("", ".npy file of the training sentences, one row a sentence in the order of the annotations"),
        val=Field("", "the same of the validation sentences"),
        test=Field("", "the same of the test sentences"),
    ),
    outside=Field("error", "what happens to spans that stand over their recording", one_of("error", "cut")),
    recordings=Field(0, "training recordings to use; 0 = all of them", ANY_NUMBER),
)
GRAPH = dict(
    on=Field("", "which rows: features.<modality>"),
    knn=Field(16, "nearest neighbours of each training row", at_least(1, 2**16)),
    metric=Field("euclidean", "distance between rows", one_of("euclidean", "cosine")),
    max_rows=Field(50_000, "most training rows in the table, drawn by the seed", at_least(2)),
)
MODEL = dict(
    head=Field("linear", "form of each modality's head", one_of(*HEADS)),
    dim=Field(256, "width of the joint space", WIDTH),
    init=Field("ridge_cca", "closed form that the heads start at", one_of(*STARTS)),
    init_options=Field({}, "arguments of that closed form"),
    temperature=Field(0.07, "temperature of the contrastive losses at the start", ABOVE_0),
    learn_temperature=Field(True, "whether the temperature is trained"),
    options=Field({}, "further arguments of the head (hidden, rank, dropout, identity)"),
    teacher=Field(False, "whether losses may ask for teacher.<modality>, rows of the heads' closed-form start"),
    anchors=dict(count=Field(0, "learned points of each modality, in both spaces; 0 = none", ROWS)),
)
MOMENTS_MODEL = dict(
    pooling=Field([15, 8, 8], "steps of max-pooling at stride 1, 2, 4, ..., which give the moments' lengths", COUNTS),
    dim=Field(128, "width of the joint space", WIDTH),
    channels=Field(64, "channels of the convolutions", WIDTH),
    layers=Field(2, "convolutions over the map of moments; 0 = none", at_least(0, 256)),
    kernel=Field(3, "width of a convolution", at_least(1, 1023)),
    dropout=Field(0.0, "share of the hidden entries that are dropped while training", SHARE),
    power=Field(0.5, "exponent of the contrastive score in the fused score", ANY_NUMBER),
    logit_scale=Field(10.0, "factor of the cosine in the log odds of a large overlap", ABOVE_0),
    logit_bias=Field(0.0, "summand beside it in the log odds"),
    prior=Field(False, "whether that summand has a learned part for each moment"),
    init=Field("ridge_cca", "closed form that the heads start at", one_of("ridge_cca", "random")),
    init_options=Field({}, "arguments of that closed form"),
)
MOMENTS = dict(
    knn=Field(5, "neighbours in the graph of geodesic distances", at_least(1)),
    cutoff=Field(0.5, "longest geodesic path that counts as similar", ANY_NUMBER),
    nearest=Field(5, "players of a sentence: moments of the largest geodesic similarity", ANY_NUMBER),
    similar=Field(5, "players of a sentence: moments of the largest cosine", ANY_NUMBER),
)
OPTIMIZER = dict(
    name=Field("adamw", "any optimiser of optax"),
    lr=Field(1e-3, "highest learning rate", ABOVE_0),
    schedule=Field("cosine", 'course of the learning rate behind the rise, such as "cosine" or "constant"'),
    warmup_steps=Field(0, "steps of the linear rise to lr", ANY_NUMBER),
    clip_norm=Field(1.0, "largest norm of the gradient; 0 = no limit", ANY_NUMBER),
    ema=Field(0.0, "decay of the averaged parameters; 0 = no average", Rule("0 (off) or a decay below 1", SHARE.holds)),
    options=Field({}, "further arguments of the optimiser"),
)
SCHEDULED_EVALS = dict(
    every_steps=Field(50, "steps between measurements on the validation rows", at_least(1)),
    metric=Field("mean/R@10", "metric that the best step is chosen by"),
    patience=Field(0, "measurements without a gain until the run stops; 0 = never", ANY_NUMBER),
)
LOOP = dict(
    optimizer=OPTIMIZER,
    total_steps=Field(0, "length of the run in steps; exactly one of the three lengths is set", ANY_NUMBER),
    total_epochs=Field(0, "length of the run in epochs", ANY_NUMBER),
    total_examples=Field(0, "length of the run in examples", ANY_NUMBER),
    evals=SCHEDULED_EVALS,
    checkpoint=dict(
        every_steps=Field(200, "steps between checkpoints", at_least(1)),
        latest=Field(2, "newest checkpoints to keep", at_least(1)),
        best=Field(1, "best checkpoints to keep", at_least(1)),
    ),
    log_every_steps=Field(10, "steps between records of the losses and of each term's gradient norm; 0 = never", ANY_NUMBER),
    tensorboard=Field("auto", "event files for TensorBoard; auto = where tensorboardX is there", one_of("auto", "on", "off")),
    parallel=Field("auto", "how a step is compiled; auto = jit on one device, pmap on several", PARALLEL),
)
LOSSES = dict(losses=Field({}, "terms of the objective by name: fn, inputs, weight (a number or a schedule), kwargs"))
BUFFERS = dict(
    buffers=dict(
        length=Field(0, "rows of past steps that are kept, at most as many as there are examples; 0 = none", ANY_NUMBER),
        of=Field([], "keys whose rows are kept; a loss takes them as queue.<key>", WORDS),
    )
)
ALIGNMENT = dict(
    task=Field("alignment", "kind of run"),
    seed=Field(0, "seed of the start, the batches and the noise", ANY_NUMBER),
    data=DATA,
    model=MODEL,
    graphs=Field({}, "modality -> a neighbour table of its training rows, for neighbours.<modality>"),
    **LOSSES,
    batch=dict(
        pairs=Field(512, "known pairs of a batch", at_least(1, 2**20)),
        anchors=Field(0, "neighbourhoods of each modality in a batch", ROWS),
        unpaired=Field(0, "unpaired rows of each modality in a batch", ROWS),
    ),
    views=dict(
        noise=Field(0.0, "noise of z.view.<modality>, relative to a row's length", ANY_NUMBER),
        feature_dropout=Field(0.0, "share of the features that z.view.<modality> leaves out", SHARE),
    ),
    mixed=dict(
        on=Field(False, "whether losses may ask for z.mixed.<modality>: rows mixed with another row before the head"),
        alpha=Field(1.0, "mixing shares are drawn from Beta(alpha, alpha)", ABOVE_0),
    ),
    draws=Field({}, "name -> dict(kind, alpha, beta): draws.<name>, one random number a step"),
    **BUFFERS,
    **LOOP,
)
GROUNDING = dict(
    task=Field("grounding", "kind of run"),
    seed=ALIGNMENT["seed"],
    data=CLIPS_DATA,
    model=MOMENTS_MODEL,
    **LOSSES,
    moments=MOMENTS,
    batch=dict(
        recordings=Field(8, "recordings of a batch", at_least(1, 2**20)),
        sentences=Field(0, "most sentences of a recording in a batch; 0 = all", ROWS),
    ),
    **BUFFERS,
    **{**LOOP, "evals": {**SCHEDULED_EVALS, "metric": Field("mIoU", SCHEDULED_EVALS["metric"].meaning)}},
)
COMPARISON = dict(
    data=Field("", "a bundled set, or empty beside x and y"),
    x=Field("", "file of the first modality"),
    y=Field("", "file of the second modality"),
    pairs=Field("", "file of known pairs; empty = rows whose ids match"),
    x_unpaired=Field("", "file of further rows of x without partners"),
    y_unpaired=Field("", "file of further rows of y without partners"),
    x_ids=Field("", "ids of x: a column, an array or a file"),
    y_ids=Field("", "ids of y: a column, an array or a file"),
    x_unpaired_ids=Field("", "ids of x_unpaired"),
    y_unpaired_ids=Field("", "ids of y_unpaired"),
    methods=Field((), "names of methods; empty = the whole field"),
    counts=Field((), "numbers of known pairs; empty = by rule"),
    seeds=Field(5, "splits and starts of each cell"),
    budget=Field(4, "trials of each method"),
    metric=Field("mean/MRR", "metric that trials are chosen by"),
    split=Field("random", 'how items are held out: "random" or "group"'),
    unpaired=Field(
        "independent", "rows of the other items that are known: of other items in each modality, of the same, or none"
    ),
    val=Field(0, "validation pairs; 0 = by rule"),
    test=Field(0, "test pairs; 0 = by rule"),
    group_key=Field("", "field of the metadata that look-alikes share"),
)
TASKS = {"alignment": ALIGNMENT, "grounding": GROUNDING}  # task -> its fields
ENTRIES = {"graphs": GRAPH}  # open block -> the fields of each of its entries, where they are known


CENTRED = dict(center=True, standardize=False)
STANDARDIZED = dict(center=True, standardize=True)


class Source(NamedTuple):
    """A bundled set.

    Args:
      preprocess: modality -> its recommended preprocessing, in the order x, y and w.
      group_key: the field of `Table.meta` that look-alikes share, for a split by groups.
      pairs: how many known pairs are used where a config's argument leaves their number open.
    """

    preprocess: Mapping[str, Mapping[str, bool]]
    group_key: str
    pairs: int = 1_000

    @property
    def names(self) -> tuple[str, ...]:
        """The two or three modalities."""
        return tuple(self.preprocess)


BUNDLED = {
    "clipart": Source(dict(image=CENTRED, text=CENTRED), "stem"),
    "clipart_dinov2": Source(dict(image=CENTRED, text=CENTRED), "stem"),
    "emoji": Source(dict(image=CENTRED, text=CENTRED), "concept", 800),
    "emoji_speech": Source(dict(speech=STANDARDIZED, text=CENTRED), "concept", 800),
    "emoji_speech_image": Source(dict(speech=STANDARDIZED, image=CENTRED), "concept", 800),
    "emoji3": Source(dict(image=CENTRED, text=CENTRED, speech=STANDARDIZED), "concept", 800),
    "molecule": Source(dict(molecule=STANDARDIZED, text=CENTRED), "skeleton"),
    "molecule_large": Source(dict(molecule=STANDARDIZED, text=CENTRED), "skeleton"),
}
MADE = ("sphere", "swiss_roll", "gaussian_mixture")  # drawn when they are asked for; see `gera_jax.data.synthetic`


def known_sources() -> list[str]:
    """Every word that `data.source` may be.

    >>> known_sources()[-2:]
    ['files', 'arrays']
    """
    return [*BUNDLED, *MADE, "files", "arrays"]
