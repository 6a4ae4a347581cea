"""What is spoiled and what is then run: case `number` of `seed` is always the same file, mutation and command."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from random import Random

from tests.hostile.ground import COMPARE, FEW_STEPS, FIT, TRAIN, WRITERS, Y
from tests.hostile.mutate import mutate, whole_copy

Command = tuple[str, ...]
KEYS = {
    ".npz": ":image",
    ".safetensors": ":image",
    ".parquet": ":image",
    ".h5": ":image",
    ".h5ad": ":image",
    ".feather": ":image",
}
SPEECH = (
    "--config",
    "g2l:smoke",
    "--config.data.source=files",
    "--config.tensorboard=off",
    "--config.data.clips.length=8",
    "--config.model.pooling=[3]",
    "--config.evals.every_steps=50",
    "--config.log_every_steps=0",  # the gradient norm of each term is a second large program
    "--config.data.sentences.train=in/sentences.npy",
    "--config.data.clips.path=in/clips.npz",
)


@dataclasses.dataclass(frozen=True)
class Target:
    """Files to spoil, those that a command needs beside them, and the commands that read them.

    Args:
      spoiled: patterns under in/; one file of them is spoiled.
      beside: names under in/ that stay whole.
      often, seldom: commands; one in six cases takes one of the slower `seldom`.
      writes: the folder that the commands name.
    """

    spoiled: tuple[str, ...]
    beside: tuple[str, ...]
    often: tuple[Command, ...]
    seldom: tuple[Command, ...] = ()
    writes: str = "out"


def of_table(name: str) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
    """Commands that read a table."""
    source = f"in/{name}" + KEYS.get(Path(name).suffix, ":image" if name == "parts" else "")
    own = ("--x", source, *Y)
    often = (
        ("data", "show", source),
        ("check", *own, "--pairs", "0", *FEW_STEPS),
        ("fit", "--method", "ridge_cca", *own, "--output", "out/fit"),
        ("embed", "--workdir", "in/fit", "--modality", "x", "--input", source, "--output", "out/z.npy"),
        ("embed", "--workdir", "in/run", "--modality", "x", "--input", source, "--output", "out/z.npy"),
    )
    seldom = (
        ("data", "build", source, "out/built"),
        ("train", *own, "--pairs", "0", *FEW_STEPS, "--workdir", "out/run"),
        ("compare", *own, *COMPARE[5:], "--output", "out/cmp"),
    )
    return often, seldom


def table(name: str, *spoiled: str) -> Target:
    return Target(spoiled or (name,), (name, "y.npz", "run", "fit"), *of_table(name))


def annotated(name: str, form: str) -> Target:
    words = (*SPEECH, f"--config.data.annotations.train=in/{name}", f"--config.data.annotations.format={form}")
    words += ("--config.data.annotations.durations=in/lengths.csv",) if form == "charades" else ()
    return Target(
        (name, "lengths.csv") if form == "charades" else (name,),
        ("clips.npz", "sentences.npy", "lengths.csv"),
        (("check", *words),),
        (("train", *words, "--workdir", "out/run"),),
    )


EMBED_RUN = ("embed", "--workdir", "in/run", "--modality", "x", "--input", "in/x.npz:image", "--output", "out/z.npy")
EMBED_FIT = ("embed", "--workdir", "in/fit", "--modality", "x", "--input", "in/x.npz:image", "--output", "out/z.npy")
EVALUATE = ("evaluate", "--workdir", "in/run")
OF_RUN = (
    "run/config.json",
    "run/run.json",
    "run/preprocess.npz",
    "run/metrics.jsonl",
    "run/cache/**/*",
    "run/checkpoints/*/*",
    "run/checkpoints/**/*",
)
BOTH = ("x.npz", "y.npz")
LAYERS = (
    "select-layers",
    "--x",
    "in/layers.npz:image",
    "--y",
    "in/layers.npz:image",
    "--config",
    "gera",
    "--pairs",
    "0",
    "--output",
    "out/chosen.json",
)
TARGETS: dict[str, Target] = {
    **{name: table(name) for name in WRITERS if name.startswith("x.") and ".ids." not in name},
    "meta.npz": table("meta.npz"),
    "parts": table("parts", "parts/*"),
    "built": table("built", "built/**/*"),
    **{
        name: Target((name,), ("y.npz", "fit"), (of_table(name)[0][0], of_table(name)[0][1], of_table(name)[0][3]))
        for name in ("bomb.npz", "liar.npz", "bomb.h5")
    },
    **{
        f"x.ids{suffix}": Target((f"x.ids{suffix}",), ("x.npy", "y.npz"), (*of_table("x.npy")[0][:3], of_table("x.npy")[1][0]))
        for suffix in (".npy", ".txt", ".json")
    },
    **{
        name: Target(
            (name,),
            BOTH,
            ((*FIT, "--pairs", f"in/{name}", "--output", "out/fit"),),
            ((*COMPARE, "--pairs", f"in/{name}", "--output", "out/cmp"),),
        )
        for name in ("pairs.csv", "pairs.tsv")
    },
    "layers.npz": Target(("layers.npz",), (), (LAYERS,)),
    "a run": Target(OF_RUN, (*BOTH, "run"), (EVALUATE, EMBED_RUN)),
    "a run to go on with": Target(OF_RUN, (*BOTH, "run"), ((*TRAIN, "--workdir", "in/run"),), writes="in/run"),
    "its header": Target(OF_RUN[:3], (*BOTH, "run"), (EVALUATE, EMBED_RUN)),
    "its config": Target(
        ("run/config.json",),
        (*BOTH, "run"),
        (("check", "--config", "in/run/config.json"),),
        (("train", "--config", "in/run/config.json", "--workdir", "out/run"),),
    ),
    "config.py": Target(("config.py",), (), (("check", "--config", "in/config.py:source=emoji"),)),
    "a fit": Target(("fit/*",), ("x.npz", "fit"), (EMBED_FIT,)),
    "a comparison": Target(("cmp/cells.jsonl", "cmp/*"), (*BOTH, "cmp"), ((*COMPARE, "--output", "in/cmp"),), writes="in/cmp"),
    "spans.json": annotated("spans.json", "activitynet"),
    "tacos.json": annotated("tacos.json", "tacos"),
    "charades.txt": annotated("charades.txt", "charades"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """What a case did: for the report, and to see it again."""

    seed: int
    number: int
    target: str
    file: str
    mutation: str
    argv: Command
    writes: str

    def __str__(self) -> str:
        return f"--seed {self.seed} --case {self.number}: {self.file}: {self.mutation}; gera-jax {' '.join(self.argv)}"


def make(seed: int, number: int, whole: Path, world: Path) -> Case:
    """Lay out case `number` in the empty folder `world`: in/ with one spoiled file, and out/ for what the command writes."""
    rng = Random(f"{seed}/{number}")
    name = list(TARGETS)[number % len(TARGETS)]
    target = TARGETS[name]
    slow = target.seldom and rng.random() < 1 / 6
    argv = rng.choice(target.seldom if slow else target.often)
    for folder in ("in", "out", "temp"):
        (world / folder).mkdir(parents=True)
    for part in sorted({p.split("/")[0] for p in (*target.spoiled, *target.beside)}):
        whole_copy(whole / "in" / part, world / "in" / part)
    patterns = [p for p in target.spoiled if any(f.is_file() for f in (world / "in").glob(p))]
    chosen = rng.choice(sorted(f for f in (world / "in").glob(rng.choice(patterns)) if f.is_file()))
    others = sorted(f for f in (whole / "in").iterdir() if f.is_file() and "bomb" not in f.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole_bomb = name in ("bomb.npz", "liar.npz", "bomb.h5") and rng.random() < 0.5
        told = "as it is" if whole_bomb else mutate(chosen, rng, others)
    return Case(seed, number, name, chosen.relative_to(world).as_posix(), told, argv, target.writes)
