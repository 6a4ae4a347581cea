"""The task "alignment": tables of embeddings whose rows are joined by id, a head for each modality, one joint space."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax import checks, files, graphs, solvers
from gera_jax import config as config_lib
from gera_jax.config.files import ConfigDict
from gera_jax.data import Pairs, Preprocessor, as_rows, build_data
from gera_jax.data.alignment import AlignmentData, cut, shapes
from gera_jax.data.sampling import Sampler, check_draw, require_shared
from gera_jax.evaluation import geometry
from gera_jax.models import TwoTower
from gera_jax.ops.collectives import gather_rows
from gera_jax.solvers.several_tables import weigh_tables
from gera_jax.training.context import alignment_context, alignment_inputs
from gera_jax.training.evaluate import alignment_metrics, metric_names, overview, overview_text, projector
from gera_jax.training.processes import Parallel
from gera_jax.training.task import Array, Batch, Evaluate, Preflight, Problem
from gera_jax.training.terms import Rows

logger = logging.getLogger("gera_jax")


def neighbour_table(data: AlignmentData, name: str, graph: Mapping, *, seed: int, cache_dir: Path | None) -> np.ndarray:
    """Rows [N, 1 + knn] of the table of modality `name`: an anchor, then its nearest neighbours among the training rows.

    Args:
      graph: `on` ("features.<name>"), `knn`, `metric`, `max_rows` (a larger pool is thinned to this many, drawn by `seed`,
        since an exact search costs N^2 d).
      cache_dir: folder of the cache, or None.
    """
    pool = data.pool[name]
    if len(pool) > graph["max_rows"]:
        logger.info("graphs.%s: %d of %d training rows, drawn by the seed", name, graph["max_rows"], len(pool))
        pool = np.sort(np.random.default_rng([seed, 7]).choice(pool, graph["max_rows"], replace=False))
    wanted = f"fewer neighbours than the {len(pool)} training rows of {name}"
    checks.require(graph["knn"] < len(pool), f"graphs.{name}.knn", got=graph["knn"], wanted=wanted)
    rows = data.features[name].take(pool)
    path = None
    if cache_dir is not None:
        key = files.digest(json.dumps([dict(graph), files.digest(rows)], sort_keys=True).encode())
        path = Path(cache_dir) / "graphs" / f"{key}.npz"
        try:
            kept = files.load_npz(path)
            if kept["key"] != key:
                files.damaged(path, "it holds the neighbours of other rows")
            return pool[kept["table"]]
        except FileNotFoundError:
            pass
        except files.DamagedError as error:
            logger.warning("graphs.%s: %s is %s; its neighbours are computed again", name, error.name, error.got)
    indices, _ = graphs.knn(rows, k=graph["knn"], metric=graph["metric"])
    local = np.concatenate([np.arange(len(pool), dtype=np.int32)[:, None], indices], axis=1)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.save_npz(path, {"table": local, "key": np.array(key)})
    return pool[local]


STARTS = {  # for two modalities, for more
    "ridge_cca": (solvers.RidgeCCA, solvers.GeneralizedCCA),
    "procrustes": (solvers.Procrustes, None),
    "random": None,
}
MAX_START_PAIRS = 20_000  # a linear map is known long before; the solvers hold several float64 copies of their rows


class AlignmentTask:
    """See `gera_jax.training.task.Task`."""

    def check(self, config: ConfigDict) -> None:
        config_lib.require_fields(config.to_dict())
        names = config_lib.modalities(config)
        solvers = STARTS[config.model.init]
        fine = len(names) == 2 or solvers is None or solvers[1] is not None
        got = f'"{config.model.init}" with {len(names)} modalities'
        wanted, remedy = "a start for any number of them", 'Use init="ridge_cca" (generalised CCA of all of them) or "random".'
        checks.require(fine, "model.init", got=got, wanted=wanted, remedy=remedy)
        got, wanted = 'True with init="random"', "a closed-form start, which is the teacher"
        remedy = 'Set model.init="ridge_cca".'
        checks.require(solvers is not None or not config.model.teacher, "model.teacher", got=got, wanted=wanted, remedy=remedy)
        if solvers is not None:
            options, wanted = config.model.init_options.to_dict(), f'arguments of init="{config.model.init}"'
            with checks.refusing("model.init_options", got=options, wanted=wanted):
                solvers[len(names) > 2](**options)
        for side, name in zip(config_lib.sides(config.data), names, strict=True):
            Preprocessor(**config.data.preprocess[side].to_dict(), name=name)
        for name, graph in config.graphs.to_dict().items():
            checks.require_known(name, names, "modality of graphs")
            on = f"features.{name}"
            checks.require(graph["on"] == on, f"graphs.{name}.on", got=f'"{graph["on"]}"', wanted=f'"{on}"')
        draws(config)
        checks.require_known(config.evals.metric, metric_names(names), "evals.metric")
        unpaired, remedy = config.batch.unpaired, 'Set it to 0, or set data.unpaired="independent".'
        fine, wanted = not unpaired or config.data.unpaired != "none", '0 beside data.unpaired="none"'
        checks.require(fine, "batch.unpaired", got=unpaired, wanted=wanted, remedy=remedy)
        shards = Parallel.choose(config.parallel).shards
        require_shared(shards, anchors=config.batch.anchors, unpaired=config.batch.unpaired)
        terms = [term for term in config.losses.to_dict().values() if isinstance(term, Mapping)]
        used = [key for term in terms if isinstance(term.get("inputs"), Mapping) for key in term["inputs"].values()]
        same = not (config.views.noise or config.views.feature_dropout or config.model.options.get("dropout", 0.0))
        fine = not same or not any(str(key).startswith("z.view.") for key in used)
        got = "a term on z.view.*, with noise=0, feature_dropout=0 and no dropout in the head"
        remedy = "Set views.noise=0.1, or model.options.dropout."
        checks.require(fine, "views", got=got, wanted="views that differ", remedy=remedy)

    def inputs(self, config: ConfigDict, *, masked: Collection[str]) -> dict[str, Rows]:
        return alignment_inputs(config, config_lib.modalities(config), masked=masked)

    def load(self, config: ConfigDict, *, tables: tuple | Pairs | None) -> AlignmentData:
        data = weigh_tables(build_data(config.data.to_dict(), tables=tables))
        if tables is None:  # who gives tables knows more of where they come from, and says it
            logger.info("%s", overview_text(overview(data.train, data.val, data.test)))
        return data

    def open(self, config: ConfigDict, data: AlignmentData, *, parallel: Parallel, cache_dir: Path | None) -> Problem:
        neighbours = {
            name: neighbour_table(data, name, graph, seed=config.seed, cache_dir=cache_dir)
            for name, graph in config.graphs.items()
        }
        sampler = Sampler(
            data,
            seed=config.seed,
            batch_size=config.batch.pairs,
            anchors=config.batch.anchors,
            neighbours=neighbours,
            unpaired=config.batch.unpaired,
            shards=parallel.shards,
            local_shards=parallel.local_shards,
            **draws(config),
        )
        model = build_model(config, {name: data.features[name].dim for name in data.names})
        padded = parallel.shards > 1 or sampler.padded  # one device that is full needs no mask in its losses
        info = dict(
            fingerprints=dict(data.fingerprints),
            names=list(data.names),
            widths=dict(model.widths),
            pairs=len(data.pairs),
            val=len(data.val),
            test=len(data.test),
            overview=overview(data.train, data.val, data.test),
            pool={name: len(rows) for name, rows in data.pool.items()},
            raw_widths={name: int(data.tables[name].rows.shape[1]) for name in data.names},
        )
        arrays = {f"{name}/{key}": value for name in data.names for key, value in data.preprocessors[name].to_arrays().items()}
        return Problem(
            data=data,
            model=model,
            sampler=sampler,
            examples=len(data.pairs),
            batch_size=sampler.batch_size,
            masked=data.names if padded else tuple(sampler.incomplete),
            start=lambda: start(config, model, data),
            project=self.projector(model),
            evaluate=self.evaluator(model, data),
            splits=[split for split in ("val", "test") if len(getattr(data, split)) > 1],
            info=info,
            arrays=arrays,
        )

    def model(self, config: ConfigDict, info: Mapping[str, Any]) -> TwoTower:
        return build_model(config, info["widths"])

    def context(
        self,
        config: ConfigDict,
        model: TwoTower,
        params: Any,
        batch: Batch,
        *,
        wanted: Collection[str],
        key: Array | None = None,
        axis_name: str | None = None,
    ) -> dict[str, Array]:
        return alignment_context(model, params, batch, wanted=wanted, views=config.views.to_dict(), key=key, axis_name=axis_name)

    def diagnose(self, model: TwoTower, params: Any, batch: Batch, *, axis_name: str | None = None) -> dict[str, Array]:
        context = alignment_context(model, params, batch, wanted={f"z.{name}" for name in model.widths}, views={})
        z = {name: gather_rows(context[f"z.{name}"], axis_name) for name in model.widths}
        mask = {name: gather_rows(context[f"mask.{name}"], axis_name) for name in model.widths}
        metrics: dict[str, Array] = {}
        couples = config_lib.pairs(model.widths)
        for a, b in couples:
            suffix = f"/{a}-{b}" if len(couples) > 1 else ""
            metrics[f"alignment{suffix}"] = geometry.alignment(z[a], z[b], mask=mask[a] & mask[b])
            metrics[f"modality_gap{suffix}"] = geometry.modality_gap(z[a], z[b], x_mask=mask[a], y_mask=mask[b])
        for name, rows in z.items():
            metrics[f"effective_rank/{name}"] = geometry.effective_rank(rows, mask=mask[name])
            metrics[f"mean_cosine/{name}"] = geometry.mean_cosine(rows, mask=mask[name])
            metrics[f"uniformity/{name}"] = geometry.uniformity(rows, mask=mask[name])
        return {**metrics, "temperature": 1 / context["logit_scale"]}

    def projector(self, model: TwoTower) -> Callable[[Any, str, np.ndarray], np.ndarray]:
        return projector(model)

    def evaluator(self, model: TwoTower, data: AlignmentData) -> Evaluate:
        project = self.projector(model)

        def evaluate(params: Any, split: str, *, full: bool = True) -> dict[str, float]:
            return alignment_metrics(data, partial(project, params), split, full=full)

        return evaluate

    def embedder(
        self, model: TwoTower, info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Callable[[Any, str, np.ndarray], np.ndarray]:
        project = self.projector(model)
        prepare = {
            name: Preprocessor.from_arrays(
                {key.removeprefix(f"{name}/"): arrays[key] for key in arrays if key.startswith(f"{name}/")}
            )
            for name in info["names"]
        }

        def embed(params: Any, name: str, rows: np.ndarray) -> np.ndarray:
            checks.require_known(name, info["names"], "modality")
            return project(params, name, prepare[name](as_rows(rows, f"rows of {name}", width=info["raw_widths"][name])))

        return embed

    def preflight(self, config: ConfigDict, *, tables: Any = None) -> Preflight:
        parts = cut(config.data.to_dict(), tables=tables, rows=False)
        logger.info("%s", overview_text(overview(*parts)))
        tables = shapes(*parts)
        names = config_lib.modalities(config)
        widths = {
            name: width_after(config.data.preprocess[side], tables[name][1])
            for side, name in zip(config_lib.sides(config.data), names, strict=True)
        }
        rows = [tables[name][0] for name in names]
        for side, name, n in zip(config_lib.sides(config.data), names, rows, strict=True):  # the pool is no larger than the table
            smoothing = config.data.preprocess[side].filter
            neighbours = {f"graphs.{name}.knn": config.graphs[name].knn} if name in config.graphs else {}
            neighbours |= {f"data.preprocess.{side}.filter.k": smoothing.k} if smoothing.strength else {}
            for field, k in neighbours.items():
                checks.require(k < n, field, got=k, wanted=f"fewer neighbours than the {n} rows of {name}", remedy="Lower it.")
        pairs = config.data.pairs or (min(rows) if len(rows) == 2 else sum(rows) // 2)
        size = min(config.batch.pairs, pairs)

        def shape(*dims: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(dims, dtype)

        batch = {"groups": shape(size), "mask": shape(size, dtype=jnp.bool_)}
        batch.update({f"draws.{name}": shape(dtype=jnp.float32) for name in config.draws})
        if config.mixed.on:
            batch.update({"partner": shape(size), "mixed.lam": shape(dtype=jnp.float32)})
        for name in names:
            neighbours = 1 + config.graphs[name].knn if name in config.graphs else 1
            batch[f"rows.{name}"] = shape(size, widths[name], dtype=jnp.float32)
            batch[f"pairs.{name}"] = shape(size)
            batch[f"neighbours.{name}"] = shape(config.batch.anchors, neighbours)
            batch[f"unpaired.{name}"] = shape(config.batch.unpaired)
        model = build_model(config, widths)
        if STARTS[config.model.init] is not None:
            for name, width in widths.items():
                jax.eval_shape(
                    lambda name=name, width=width: model.start_at(
                        model.init(jax.random.key(0)), name, np.zeros((width, 1)), np.zeros(1)
                    )
                )
        return Preflight(tables=tables, model=model, examples=pairs, batch_size=size, batch=batch)


def draws(config: ConfigDict) -> dict[str, Any]:
    """The sampler's `draws` and `mixed` from the blocks of the same names, checked."""
    given = config.draws.to_dict()
    for name, spec in given.items():
        checks.require(isinstance(spec, Mapping), f"draws.{name}", got=repr(spec), wanted="a block with kind, alpha and beta")
    named = {name: check_draw(spec, f"draws.{name}") for name, spec in given.items()}
    alpha = config.mixed.alpha
    mixed = check_draw(dict(kind="beta", alpha=alpha, beta=alpha), "mixed") if config.mixed.on else None
    return dict(draws=named, mixed=mixed)


def width_after(preprocess: Mapping[str, Any], width: int) -> int:
    """Width of features once they are prepared."""
    width = min(preprocess["pca"], width) if preprocess["pca"] else width
    smoothing = preprocess["filter"]
    return 2 * width if smoothing["strength"] and smoothing["concatenate"] else width


def build_model(config: Mapping | ConfigDict, widths: Mapping[str, int]) -> TwoTower:
    """The model of a config's `model` block over features of the given widths."""
    block = config["model"]
    return TwoTower(
        widths,
        head=block["head"],
        dim=block["dim"],
        temperature=block["temperature"],
        learn_temperature=block["learn_temperature"],
        head_options=dict(block["options"]),
        anchors=block["anchors"]["count"],
        teacher=block["teacher"],
    )


def start(config: Mapping | ConfigDict, model: TwoTower, data: AlignmentData) -> dict[str, Any]:
    """Initial parameters: random, with the affine parts at a closed-form solution on the known pairs where one is asked for.

    With few pairs the closed form is far better than anything that gradients reach from a random start.
    """
    params = model.init(jax.random.key(config["seed"]))
    solvers = STARTS[config["model"]["init"]]
    if solvers is None:
        return params
    solver = solvers[len(data.names) > 2](**config["model"]["init_options"])
    pairs = data.pairs[:MAX_START_PAIRS]
    has = dict(zip(data.names, (pairs >= 0).T, strict=True))
    rows = {name: data.features[name].take(np.maximum(index, 0)) for name, index in zip(data.names, pairs.T, strict=True)}
    if len(data.names) == 2:
        fitted = solver.fit(*rows.values())
        maps = [(fitted.x_weights, fitted.x_offset), (fitted.y_weights, fitted.y_offset)]
    else:
        fitted = solver.fit(rows, has)
        maps = [(fitted.weights[name], fitted.offsets[name]) for name in data.names]
    for name, (weights, offset) in zip(data.names, maps, strict=True):
        params = model.start_at(params, name, weights, offset)
    return params
