"""Every benchmark in turn: `python -m benchmarks [NAME ...]`; `python -m benchmarks step_time startup` for some."""

import runpy
import sys
from pathlib import Path

known = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
# Hours, runs that go on in a file of their own, or files that only the caller knows: only where asked for by name.
long = {
    "bridge",
    "curve_coverage",
    "gera_gain",
    "grounding_gain",
    "grounding_pictures",
    "heat_embedding",
    "heat_gain",
    "hostile",
    "label_efficiency",
    "recipe_gain",
    "sspc_modalities",
    "system_gain",
}
asked = sys.argv[1:] or [name for name in known if name not in long]
unknown = set(asked) - set(known)
if unknown:
    sys.exit(f"benchmarks: got {sorted(unknown)}; wanted some of {known}.")
for name in asked:
    print(f"## {name}", flush=True)
    sys.argv = [name]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
