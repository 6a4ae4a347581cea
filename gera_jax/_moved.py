"""Modules under the names that they had before version 0.3: `import gera_jax.baselines` gives `gera_jax.solvers`."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from typing import Any

MOVED = {
    "baselines": "solvers",
    "baselines.cotrained": "solvers.auto.recipe",
    "baselines.stacking": "solvers.auto.choice",
    "baselines.views": "solvers.auto.views",
    "cli.commands": "api",
    "cli.comparing": "api",
    "cli.layers": "aligners.layers",
    "cli.vectors": "data.builder",
    "data.grounding": "moments.data",
    "data.grounding_files": "moments.recordings",
    "data.grounding_sampling": "moments.data",
    "data.manifolds": "embedding.manifolds",
    "estimators": "aligners",
    "models.proposal_map": "moments.proposal_map",
    "models.proposals": "moments.proposal_map",
    "objectives": "training.terms",
    "objectives.schedules": "training.terms",
    "objectives.term": "training.terms",
    "plots.grounding": "moments.plots",
    "training.grounding": "moments.task",
    "training.preflight": "training.experiment",
}
MERGED = {  # module -> those of 0.2 in the same room that are a part of it now
    "cli.main": "failures",
    "comparison.statistics": "chance learning_curve",
    "comparison.task": "scoring selection",
    "config.files": "values",
    "data.alignment": "blocks",
    "data.formats.arrays": "faiss_index",
    "data.formats.base": "ids_files",
    "data.formats.libraries": "hdf5 torch_file",
    "data.load": "validation",
    "data.preprocessing": "features",
    "data.sampling": "augment",
    "evaluation.classification": "calibration delta few_shot shift zero_shot",
    "evaluation.geometry": "diagnostics hypersphere",
    "evaluation.inputs": "labels",
    "evaluation.similarity": "layers",
    "evaluation.split": "chance hubness",
    "models.two_tower": "linear residual",
    "graphs.knn": "filter",
    "graphs.operators": "affinity",
    "plots.spaces": "layers sphere",
    "training.alignment": "neighbours",
    "training.experiment": "tasks",
    "training.evaluate": "overview",
    "training.loop": "hooks",
    "training.processes": "parallel",
    "training.step": "buffers",
    "training.terms": "optimizers schedules",
}
MOVED |= {f"{new.rpartition('.')[0]}.{old}": new for new, words in MERGED.items() for old in words.split()}


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module under its former name; it is the same module, not a copy."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        room, _, old = name.partition(".")
        return importlib.machinery.ModuleSpec(name, self) if room == "gera_jax" and self.new(old) else None

    def new(self, old: str) -> str:
        """Today's name, or "": that of the table, or of the same module in a room that has moved."""
        room, _, rest = old.partition(".")
        return MOVED.get(old) or (f"{MOVED[room]}.{rest}" if rest and room in MOVED else "")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Nothing of its own: see `exec_module`."""

    def exec_module(self, module: Any) -> None:
        found = importlib.import_module(f"gera_jax.{self.new(module.__name__.partition('.')[2])}")
        found.__dict__.setdefault(
            "__path__", []
        )  # what was a room may be a module now, and its modules are looked for all the same
        sys.modules[module.__name__] = found


sys.meta_path.insert(0, Moved())  # first: folders of the old names may still lie there, empty but for caches
