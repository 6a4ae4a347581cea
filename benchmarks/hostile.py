"""Hostile use in its long forms; each prints its faults and ends with 1 where there was one.

python -m benchmarks.hostile                        # all of them, one after the other: hours
python -m benchmarks.hostile fuzz --cases 10000     # mutated files and configs through the command line
python -m benchmarks.hostile flips --flips 1000     # one bit of one stored file
python -m benchmarks.hostile kills --kills 100      # over all commands, or --only train,fit
python -m benchmarks.hostile disks --fulls 30       # full disks; needs the right to mount a tmpfs
python -m benchmarks.hostile devices                # trained on 8 devices, read and resumed on 8, 2, 1
"""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("all", *PARTS), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--flips", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--fulls", type=int, default=30)
    parser.add_argument("--only", default="", help="commands to kill, or ways to be parallel, comma-separated")
    args = parser.parse_args()
    return int(sum(PARTS[name](args) for name in (PARTS if args.what == "all" else [args.what])) > 0)


def fuzz(args: argparse.Namespace) -> int:
    from tests.hostile.ground import ROOT
    from tests.hostile.watch import watch

    return watch(args.seed, range(args.cases), ROOT / ".cache" / "hostile")


def flips(args: argparse.Namespace) -> int:
    from tests.hostile.flips import report

    return report(args.seed, args.flips)


def kills(args: argparse.Namespace) -> int:
    from benchmarks import _hostile_kills

    return _hostile_kills.each(_hostile_kills.kill_once, args.kills, args.seed, names(args))


def disks(args: argparse.Namespace) -> int:
    from benchmarks import _hostile_kills

    return _hostile_kills.each(_hostile_kills.fill_once, args.fulls, args.seed, names(args))


def names(args: argparse.Namespace) -> list[str]:
    from benchmarks._hostile_kills import JOBS

    return args.only.split(",") if args.only else list(JOBS)


def devices(args: argparse.Namespace) -> int:
    from benchmarks._hostile_devices import MODES, table

    return table(args.only.split(",") if args.only else MODES)


PARTS = dict(fuzz=fuzz, flips=flips, kills=kills, disks=disks, devices=devices)

if __name__ == "__main__":
    sys.exit(main())
