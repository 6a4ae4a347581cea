"""Hostile use in its long forms; each prints its faults and ends with 1 where there was one.

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
    parser.add_argument("what", choices=("fuzz", "flips", "kills", "disks", "devices"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--flips", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--fulls", type=int, default=30)
    parser.add_argument("--only", default="", help="commands to kill, comma-separated")
    args = parser.parse_args()
    if args.what == "fuzz":
        from tests.hostile.ground import ROOT
        from tests.hostile.watch import watch

        return watch(args.seed, range(args.cases), ROOT / ".cache" / "hostile")
    if args.what == "flips":
        from tests.hostile.flips import report

        return report(args.seed, args.flips)
    if args.what == "devices":
        from benchmarks.hostile_devices import table

        return table()
    from benchmarks import hostile_kills as kills

    names = args.only.split(",") if args.only else list(kills.JOBS)
    disturb, count = (kills.kill_once, args.kills) if args.what == "kills" else (kills.fill_once, args.fulls)
    return bool(kills.each(disturb, count, args.seed, names))


if __name__ == "__main__":
    sys.exit(main())
