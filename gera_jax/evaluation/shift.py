"""How much of a space's quality is left on rows of another kind."""

from __future__ import annotations

from collections.abc import Mapping

from gera_jax.checks import require


def shift_robustness(
    home: Mapping[str, float], away: Mapping[str, float], *, chance: Mapping[str, float] | None = None
) -> dict[str, float]:
    """What a shift costs, for each metric that both sides have: the drop, and the share above chance that is kept.

    >>> {k: round(v, 3) for k, v in shift_robustness({"R@1": 0.8}, {"R@1": 0.5}, chance={"R@1": 0.2, "away/R@1": 0.2}).items()}
    {'drop/R@1': 0.3, 'kept/R@1': 0.5}

    Args:
      home: metrics on rows like those of training (`retrieval_metrics`, `zero_shot_accuracy`, `few_shot_accuracy`, ...).
      away: the same metrics on another set, by the same model.
      chance: metric -> its value for a space that knows nothing (0 where it is not given). Retrieval in a larger gallery is
        harder: give the chance of each side as `name` (home) and `away/name`, or compare galleries of one size.

    Returns:
      "drop/<name>" = home - away, and "kept/<name>" = (away - chance away) / (home - chance home): 1 = nothing lost, 0 = chance;
      left out where home is at chance itself.
    """
    shared = [name for name in home if name in away]
    require(bool(shared), "away", got=f"{sorted(away)}", wanted=f"some of the metrics {sorted(home)}")
    chance = dict(chance or {})
    result = {}
    for name in shared:
        result[f"drop/{name}"] = float(home[name] - away[name])
        above = home[name] - chance.get(name, 0.0)
        if not above <= 0:  # NaN too: a metric that broke is no metric at chance
            result[f"kept/{name}"] = float((away[name] - chance.get(f"away/{name}", chance.get(name, 0.0))) / above)
    return result
