"""Every method on one bundled set at every pair count: what `python -m benchmarks.label_efficiency` runs for each set.

gera-jax compare --config configs/comparisons/label_efficiency.py:source=emoji --output runs/emoji
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="clipart", split="random", unpaired="independent", seeds=5, smoke=False)
    c = config.comparison(data=arg.source, split=arg.split, unpaired=arg.unpaired, seeds=arg.seeds)
    if arg.smoke:
        c.update(methods=("ridge_cca", "asif"), counts=(20, 50, 100), seeds=1, budget=1)
    return c
