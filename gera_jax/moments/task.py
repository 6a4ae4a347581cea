"""The task "grounding": sentences, and the moments of a recording that they are true of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gera_jax import checks, evaluation, solvers
from gera_jax import config as config_lib
from gera_jax.data import as_rows
from gera_jax.evaluation import geometry
from gera_jax.graphs import geodesic_similarity
from gera_jax.moments.data import GroundingData, GroundingSampler, build_grounding, inspect_grounding, prepare, span_means
from gera_jax.moments.proposal_map import HEADS, ProposalMap, Proposals, moment_mask
from gera_jax.ops.collectives import gather_rows
from gera_jax.ops.geometry import temporal_iou
from gera_jax.ops.numerics import safe_normalize
from gera_jax.training.processes import Parallel
from gera_jax.training.task import Array, Batch, Evaluate, Preflight, Problem
from gera_jax.training.terms import Rows

STARTS = {"ridge_cca": solvers.RidgeCCA, "random": None}
INPUTS = ("clips", "sentences")
MASKS = {"sentences": "mask.sentences", "clips": "mask.moments"}
BLOCK = 8  # recordings measured at once


class GroundingTask:
    """See `gera_jax.training.task.Task`.

    Keys for terms, with B recordings, S sentences and N moments: s.<head> [B, S, dim] and v.<head> [B, N, dim], head "iou" or
    "contrast", not normalised; `iou`, `similarity` and `source` [B, S, N] (1 at a sentence's best moment, else 0), `sentence_iou`
    [B, S, S]; `bias` [B, 1, N], or a scalar without `model.prior`, the log odds of a moment beside its cosine; s.players,
    v.players [B, S (nearest + similar), dim]: for each sentence the moments of the largest geodesic similarity and of the
    largest cosine, put together.
    """

    def check(self, config: ConfigDict) -> None:
        config_lib.require_fields(config.to_dict())
        metrics = evaluation.grounding_recall(np.array([[[0.0, 1.0]] * 5]), np.array([[0.0, 1.0]]))
        checks.require_known(config.evals.metric, metrics, "evals.metric")
        if solver := STARTS[config.model.init]:
            with checks.refusing(
                "model.init_options", got=config.model.init_options.to_dict(), wanted=f'arguments of init="{config.model.init}"'
            ):
                solver(**config.model.init_options)
        got, wanted = "0, and similar=0", "at least one player a sentence"
        checks.require(config.moments.nearest + config.moments.similar > 0, "moments.nearest", got=got, wanted=wanted)

    def inputs(self, config: ConfigDict, *, masked: Collection[str]) -> dict[str, Rows]:
        sentences, moments = (MASKS[name] if name in masked else "" for name in ("sentences", "clips"))
        players = "mask.players" if masked else ""
        known = {f"s.{head}": Rows(mask=sentences) for head in (*HEADS, "players")}
        known |= {f"v.{head}": Rows(mask=moments) for head in HEADS} | {"v.players": Rows(mask=players)}
        return known | {name: Rows() for name in ("iou", "similarity", "source", "sentence_iou", "bias")}

    def load(self, config: ConfigDict, *, tables: Any) -> GroundingData:
        return build_grounding(config.data.to_dict(), recordings=tables[0] if tables else None)

    def open(self, config: ConfigDict, data: GroundingData, *, parallel: Parallel, cache_dir: Path | None) -> Problem:
        del cache_dir
        sampler = GroundingSampler(
            data,
            seed=config.seed,
            batch_size=config.batch.recordings,
            sentences=config.batch.sentences,
            shards=parallel.shards,
            local_shards=parallel.local_shards,
        )
        widths = {"clips": data.clips.shape[2], "sentences": data.sentences.shape[1]}
        train = data.splits["train"]
        padded = sampler.batch_size % parallel.shards > 0
        counts = np.bincount(data.recording, minlength=len(data.ids))[train]
        masked = ["sentences"] if padded or counts.min() < sampler.sentences else []
        masked += ["clips"] if padded or data.lengths[train].min() < data.clips.shape[1] else []
        info = dict(
            fingerprints=data.fingerprints,
            names=list(INPUTS),
            widths=widths,
            clips=data.clips.shape[1],
            splits={name: len(rows) for name, rows in data.splits.items()},
            sentences=len(data.sentences),
        )
        model = self.model(config, info)
        return Problem(
            data=data,
            model=model,
            sampler=sampler,
            examples=len(train),
            batch_size=sampler.batch_size,
            masked=masked,
            start=lambda: start(config, model, data),
            project=self.projector(model),
            evaluate=self.evaluator(model, data),
            info=info,
            arrays=data.arrays,
            splits=[name for name in ("val", "test") if len(data.splits[name])],
        )

    def model(self, config: ConfigDict, info: Mapping[str, Any]) -> ProposalMap:
        names = ("dim", "channels", "layers", "kernel", "dropout", "power", "logit_scale", "logit_bias", "prior")
        options = {name: config.model[name] for name in names}
        return ProposalMap(Proposals(info["clips"], tuple(config.model.pooling)), info["widths"], **options)

    def context(
        self,
        config: ConfigDict,
        model: ProposalMap,
        params: Any,
        batch: Batch,
        *,
        wanted: Collection[str],
        key: Array | None = None,
        axis_name: str | None = None,
    ) -> dict[str, Array]:
        keys: tuple[Array | None, ...] = (None, None)
        if key is not None:
            key = key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))
            keys = tuple(jax.random.split(key))
        clips, sentences = batch["mask.clips"], batch["mask.sentences"]
        train = key is not None
        v = model.moments(params, batch["clips"], clips, train=train, key=keys[0])
        s = model.sentences(params, batch["sentences"], train=train, key=keys[1])
        moments = moment_mask(model.proposals, clips)
        spans = batch["spans"]
        iou = temporal_iou(spans[:, :, None, :], jnp.asarray(model.proposals.spans, spans.dtype))
        best = jnp.argmax(jnp.where(moments[:, None, :], iou, -1.0), axis=2)
        context = {f"s.{head}": s[head] for head in HEADS} | {f"v.{head}": v[head] for head in HEADS}
        context |= {
            "mask.sentences": sentences,
            "mask.moments": moments,
            "iou": iou,
            "source": jax.nn.one_hot(best, iou.shape[2]),
            "bias": model.bias(v),
            "sentence_iou": temporal_iou(spans[:, :, None, :], spans[:, None, :, :]),
        }
        if {"similarity", "v.players"} & set(wanted):
            # One recording after the other: the N x N distances of one fit a cache, those of a batch do not (half the time).
            context["similarity"] = jax.lax.map(
                lambda one: geodesic_similarity(one[0], one[1], k=config.moments.knn, cutoff=config.moments.cutoff, mask=one[2]),
                (v["contrast"], best, moments),
            )
        if "v.players" in wanted:
            context |= _players(config, context)
        return context

    def diagnose(self, model: ProposalMap, params: Any, batch: Batch, *, axis_name: str | None = None) -> dict[str, Array]:
        """Of the contrastive space: rank, how alike its rows are, and the cosine of sentences and their best moments."""
        s = safe_normalize(model.sentences(params, batch["sentences"])["contrast"])
        v = safe_normalize(model.moments(params, batch["clips"], batch["mask.clips"])["contrast"])
        spans = batch["spans"]
        iou = temporal_iou(spans[:, :, None, :], jnp.asarray(model.proposals.spans, spans.dtype))
        moments = moment_mask(model.proposals, batch["mask.clips"])
        best = jnp.argmax(jnp.where(moments[:, None, :], iou, -1.0), axis=2)
        found = jnp.take_along_axis(v, best[..., None], axis=1)
        flat = (rows.reshape(-1, *rows.shape[2:]) for rows in (s, found, batch["mask.sentences"]))
        s, found, real = (gather_rows(rows, axis_name) for rows in flat)
        s, found = (jnp.where(real[:, None], rows, 0.0) for rows in (s, found))
        count = jnp.maximum(real.sum(), 1).astype(s.dtype)
        return {
            "cosine/true": (s * found).sum() / count,
            "effective_rank/moments": geometry.effective_rank(found),
            "effective_rank/sentences": geometry.effective_rank(s),
        }

    def projector(self, model: ProposalMap) -> Callable[[Any, str, np.ndarray], np.ndarray]:
        sentences = jax.jit(lambda params, x: safe_normalize(model.sentences(params, x)["contrast"]))
        moments = jax.jit(lambda params, clips, exists: safe_normalize(model.moments(params, clips, exists)["contrast"]))

        def project(params: Any, name: str, rows: np.ndarray) -> np.ndarray:
            """Sentences [n, k] to rows [n, dim]; the clips [T, d] of one recording to rows [N, dim] of its moments."""
            checks.require_known(name, INPUTS, "input")
            if name == "sentences":
                return np.asarray(sentences(params, rows))
            size = model.proposals.clips
            checks.require(0 < len(rows) <= size, "clips", got=f"{len(rows)} clips", wanted=f"1 to {size} of one recording")
            padded = np.zeros((1, size, rows.shape[1]), np.float32)
            padded[0, : len(rows)] = rows
            exists = np.arange(size)[None] < len(rows)
            there = np.asarray(moment_mask(model.proposals, jnp.asarray(exists)))[0]
            return np.asarray(moments(params, padded, exists))[0][there]

        return project

    def evaluator(self, model: ProposalMap, data: GroundingData) -> Evaluate:
        score = scorer(model, data)

        def evaluate(params: Any, split: str, *, full: bool = True) -> dict[str, float]:
            del full  # the measures are one pass over the scores
            checks.require_known(split, ("val", "test"), "split")
            checks.require(len(data.splits[split]) > 0, f"data.annotations.{split}", got="no recording", wanted="at least one")
            queries = data.of(data.splits[split])
            return evaluation.grounding_recall(best_spans(model, data, queries, score(params, queries)), data.truth[queries])

        return evaluate

    def embedder(
        self, model: ProposalMap, info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Callable[[Any, str, np.ndarray], np.ndarray]:
        project = self.projector(model)

        def embed(params: Any, name: str, rows: np.ndarray) -> np.ndarray:
            checks.require_known(name, info["names"], "input")
            return project(params, name, prepare(as_rows(rows, f"rows of {name}", width=info["widths"][name]), arrays, name))

        return embed

    def preflight(self, config: ConfigDict, *, tables: Any = None) -> Preflight:
        checks.require(tables is None, "tables", got="recordings in memory", wanted="the files of the config")
        found = inspect_grounding(config.data.to_dict())
        (_, clips, width), (_, sentence_width), (recordings, most) = found["clips"], found["sentences"], found["train"]
        size, sentences = min(config.batch.recordings, recordings), min(config.batch.sentences or most, most)
        model = self.model(config, dict(clips=clips, widths={"clips": width, "sentences": sentence_width}))

        def shape(*dims: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(dims, dtype)

        batch = {
            "clips": shape(size, clips, width),
            "mask.clips": shape(size, clips, dtype=jnp.bool_),
            "sentences": shape(size, sentences, sentence_width),
            "spans": shape(size, sentences, 2),
            "mask.sentences": shape(size, sentences, dtype=jnp.bool_),
        }
        return Preflight(
            tables={"clips": found["clips"], "sentences": found["sentences"]},
            model=model,
            examples=recordings,
            batch_size=size,
            batch=batch,
        )


def _players(config: ConfigDict, context: Mapping[str, Array]) -> dict[str, Array]:
    """Sentences and chosen moments of each recording; a moment that two sentences choose comes twice."""
    s, v, exists = context["s.contrast"], context["v.contrast"], context["mask.moments"]
    cosine = jnp.einsum("bsd,bnd->bsn", safe_normalize(s), safe_normalize(v))
    picks = []
    for values, count in ((context["similarity"], config.moments.nearest), (cosine, config.moments.similar)):
        values = jax.lax.stop_gradient(jnp.where(exists[:, None, :], values, -jnp.inf))
        picks.append(jax.lax.top_k(values, min(count, v.shape[1]))[1])
    at = jnp.concatenate(picks, axis=2)
    mask = jnp.take_along_axis(exists[:, None, :], at, axis=2) & context["mask.sentences"][:, :, None]
    rows = jnp.take_along_axis(v, at.reshape(len(v), -1)[..., None], axis=1)
    return {"s.players": s, "v.players": rows, "mask.players": mask.reshape(len(v), -1)}


def scorer(model: ProposalMap, data: GroundingData) -> Callable[..., np.ndarray]:
    """`score(params, queries) -> [Q, N]`, the fused score of every moment of a query's recording; -inf where there is none."""

    @jax.jit
    def rows(params, clips, exists, sentences):
        v, s = model.moments(params, clips, exists), model.sentences(params, sentences)
        cosine = {head: jnp.einsum("bsd,bnd->bsn", safe_normalize(s[head]), safe_normalize(v[head])) for head in HEADS}
        # sigmoid is monotone in every query, but the fused score is a product: the probability itself is needed.
        probability = jax.nn.sigmoid(model.logit_scale * cosine["iou"] + model.bias(v))
        fused = jnp.clip((1.0 + cosine["contrast"]) / 2.0, 0.0, 1.0) ** model.power * probability
        return jnp.where(moment_mask(model.proposals, exists)[:, None, :], fused, -jnp.inf)

    def score(params: Any, queries: np.ndarray) -> np.ndarray:
        recordings, place = np.unique(data.recording[queries], return_inverse=True)
        own = [np.flatnonzero(place == number) for number in range(len(recordings))]
        most = max(len(places) for places in own)
        out = np.empty((len(queries), len(model.proposals)), np.float32)
        for first in range(0, len(recordings), BLOCK):
            block = recordings[np.minimum(np.arange(first, first + BLOCK), len(recordings) - 1)]
            sentences = np.zeros((BLOCK, most, data.sentences.shape[1]), np.float32)
            for row, places in enumerate(own[first : first + BLOCK]):
                sentences[row, : len(places)] = data.sentences[queries[places]]
            exists = np.arange(data.clips.shape[1]) < data.lengths[block][:, None]
            found = np.asarray(rows(params, data.clips[block], exists, sentences))
            for row, places in enumerate(own[first : first + BLOCK]):
                out[places] = found[row, : len(places)]
        return out

    return score


def best_spans(
    model: ProposalMap, data: GroundingData, queries: np.ndarray, scores: np.ndarray, *, threshold: float = 0.5, keep: int = 5
) -> np.ndarray:
    """The best spans [Q, keep, 2] of each query in seconds, after suppression; NaN where there are fewer."""
    spans = model.proposals.spans.astype(np.float64)
    kept = evaluation.temporal_nms(spans, scores, threshold=threshold, keep=keep)
    seconds = (data.durations / data.lengths)[data.recording[queries]]
    return np.where(kept[..., None] >= 0, spans[kept] * seconds[:, None, None], np.nan)


def start(config: ConfigDict, model: ProposalMap, data: GroundingData) -> dict[str, Any]:
    """Random parameters; where asked for, the affine parts at a closed form of (mean of the clips under the span, sentence)."""
    params = model.init(jax.random.key(config.seed))
    solver = STARTS[config.model.init]
    if solver is None:
        return params
    queries = data.of(data.splits["train"])
    fitted = solver(**config.model.init_options).fit(span_means(data, queries), data.sentences[queries])
    params = model.start_at(params, "clips", fitted.x_weights, fitted.x_offset)
    return model.start_at(params, "sentences", fitted.y_weights, fitted.y_offset)
