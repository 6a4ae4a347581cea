"""The library's recipe alone, one setting and no trials, at every pair count of one bundled set.

    gera-jax compare --config configs/comparisons/gera_best.py:source=emoji --output runs/best

It is the closed form `auto` (`gera_jax.solvers.CotrainedHeads`), so nothing is trained and no validation rows are needed:
`Aligner("auto").fit(...)` and `gera-jax fit --method auto` are the same model on rows of your own.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="clipart", split="random", unpaired="independent", seeds=5, smoke=False)
    c = config.comparison(data=arg.source, split=arg.split, unpaired=arg.unpaired, seeds=arg.seeds, methods=("auto",), budget=1)
    if arg.smoke:
        c.update(counts=(20, 50, 100), seeds=1)
    return c
