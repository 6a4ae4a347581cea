"""Every table of docs/results/label_efficiency.md, and that of GeRA's own term, from the rows in benchmarks/results.

    make bench-label-efficiency         # = python -m benchmarks.label_efficiency_tables

Each step runs the cells that its file of rows does not hold yet and then prints its table: with the files as committed that is
two minutes, most of it latency; with `--rows EMPTY_FOLDER` everything, some nine hours on two cores, and a killed run goes on
where it was.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FIELD = "ridge_cca,kernel_cca,asif,wasserstein_procrustes,sue,contrastive_linear,fusemix,sotalign,structure,auto"
OTHERS = "procrustes,csa,contrastive_mlp,contrastive,m3mix,sspc,gera,gentle_clip"


def steps(rows: Path, large: Path | None = None) -> list[list[str]]:
    """The commands, in the order of the page: what runs the missing cells, then what prints."""
    recipe, field, gera = (str(rows / f"{name}.jsonl") for name in ("recipe_gain", "label_efficiency_field", "gera_gain"))
    five = ["--seeds", "0", "1", "2", "3", "4"]
    ablation = ["--group", "ablation", "--sets", "clipart", "emoji_speech", "molecule", "--pairs", "100", "500", *five]
    blind = ["recipe_gain", "--output", str(rows / "recipe_gain_blind.jsonl"), "--seeds", "15", "16", "17", "18", "19"]
    closest = [*blind, "--methods", "ridge CCA, rule", "kernel CCA", "kernel CCA, 1000 landmarks", "auto", "--sets"]
    return [
        ["recipe_gain", "--output", recipe],
        ["recipe_gain", "--output", recipe, *ablation],
        *([["recipe_gain", "--output", recipe, "--group", "pool", "--file", str(large), *five]] if large else []),
        ["recipe_gain", "--output", recipe, "--table"],
        [*closest, "emoji_speech_image", "--pairs", "100", "200", "500"],
        [*closest, "clipart", "emoji", "emoji_speech_image", "--pairs", "1000"],
        [*blind, "--table"],
        ["label_efficiency", "--methods", FIELD, "--budget", "2", "--seeds", "10", "--rows", field],
        ["label_efficiency", "--methods", OTHERS, "--budget", "1", "--rows", field],
        ["label_efficiency", "--methods", FIELD, "--budget", "2", "--seeds", "20", "--pairs", "20", "--rows", field],
        ["label_efficiency", "--table", "--seeds", "10", "--rows", field],
        ["label_efficiency", "--table", "--seeds", "20", "--rows", field],
        ["label_efficiency", "--table", "--rows", field],
        ["label_efficiency", "--factor", "--seeds", "10", "--rows", field],
        *(
            ["label_efficiency", "--table", "--method", method, "--against", "contrastive", "--rows", field]
            for method in ("gera", "m3mix", "sspc", "structure", "gentle_clip")
        ),
        ["recommendation", "--rows", field],
        ["recipe_latency", "--repeats", "20"],
        ["curve_coverage", "--input", recipe],
        ["curve_coverage", "--input", recipe, "--seeds", "5"],
        ["curve_coverage", "--input", recipe, "--further", "1"],
        ["curve_coverage", "--input", recipe, "--further", "2"],
        ["curve_coverage", "--input", recipe, "--choice"],
        ["gera_gain", "--output", gera],
        ["gera_gain", "--output", gera, "--table"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/results"), help="the folder of the files of rows")
    parser.add_argument("--large", type=Path, help="molecule_name_large.npz of 20,000 rows; without it no pools are run")
    args = parser.parse_args()
    for module, *options in steps(args.rows, args.large):
        print(f"\n## {' '.join([f'python -m benchmarks.{module}', *options])}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *options], check=True)


if __name__ == "__main__":
    main()
