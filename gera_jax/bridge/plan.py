"""Keep, bridge or re-embed: what each way keeps of the new model's search, from the rows that both models have embedded."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from gera_jax.bridge.fitting import fit_rows, folds_of
from gera_jax.bridge.retention import Events, Kept, kept, normal_scores, ranked, tail
from gera_jax.bridge.rows import Rows
from gera_jax.checks import require, whole
from gera_jax.comparison.statistics import LearningCurve
from gera_jax.solvers.linear import even, unit_rows

K = 10
FOLDS = 3
GALLERY = 30_000  # rows of the index among which ranks are counted
QUERIES = 1_000  # that are searched in all
SHARES = (0.3, 1.0)  # of the pairs, for the curve that is followed to MORE times as many
MORE = (2, 4)
WAYS = dict(forward="documents mapped to the new model", backward="queries mapped to the old model", keep="old model for both")
CODES = dict(bridge=0, keep=10, reembed=11)
WORDS = dict(bridge="bridge", keep="keep the old model", reembed="re-embed")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What each way keeps, and the verdict.

    Attributes:
      kept: way -> recall@10 of the new model's first ten, with a 95 % interval: "forward", "backward" and "keep".
      more: {times: Kept} what the better of the two maps would keep with so many times the pairs.
      verdict: "keep", "bridge" or "reembed"; sure: the interval does not hold `want`.
      chance: what a random order of the index keeps.
    """

    index: int
    pairs: int
    queries: int
    want: float
    kept: dict[str, Kept]
    more: dict[int, Kept]
    better: str
    verdict: str
    sure: bool
    chance: float

    @property
    def exit_code(self) -> int:
        """0 bridge, 10 keep, 11 re-embed."""
        return CODES[self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = dataclasses.asdict(self)
        for name in ("kept", "more"):
            plain[name] = {str(way): found._asdict() for way, found in getattr(self, name).items()}
        return dict(plain, exit_code=self.exit_code)

    def __str__(self) -> str:
        asked = f"{self.queries:,} logged queries" if self.queries else "no queries: documents are asked instead"
        unsure = "" if self.sure else "; the interval holds both answers"
        lines = [
            f"{self.index:,} rows of the index, {self.pairs:,} of them under the new model too; {asked}",
            f"recall@{K} of the new model's first {K} (95 % intervals, estimated from held-out pairs):",
            *(f"  {WAYS[way]:<34} {_percent(found)}" for way, found in self.kept.items()),
            f"  {'guessing':<34} {100 * self.chance:5.1f} %",
            *(f"  {WAYS[self.better]}, {times} times the pairs: {_percent(found)}" for times, found in self.more.items()),
            f"verdict: {WORDS[self.verdict]} ({100 * self.want:.0f} % is wanted{unsure})",
        ]
        if "keep" in self.kept and self.verdict != "keep":
            lines.append("The old model for both asks for its query encoder, and gives the old model's quality.")
        return "\n".join(lines)


def _percent(found: Kept) -> str:
    return "not known" if math.isnan(found.mean) else f"{100 * found.mean:5.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def plan(
    old: Any,
    new: Any,
    *,
    queries: Any = None,
    old_ids: Any = None,
    new_ids: Any = None,
    want: float = 0.8,
    old_model: bool = True,
    drop_suspects: bool = False,
    seed: int = 0,
) -> Plan:
    """Whether to keep the old model, to bridge, or to embed the index again.

    Every map is fitted without the documents and queries that it is measured on (`retention` says how).

    Args:
      old: [n, dx] the index under the old model, whatever `load_pairs` takes.
      new: [p, dy] some of its rows under the new one, by id; p >= 10.
      queries: [q, dy] rows of the new model that were logged in use. Without them the documents of the pairs are asked, which are
        not quite like queries.
      want: share of the new model's first ten that is enough.
      old_model: the old model can still embed queries; False leaves "keep" out.
      drop_suspects: leave pairs out that seem to be none, instead of refusing them.

    Returns:
      `Plan`; shares are in [0, 1]. Its intervals leave out the draw of the pairs, and its coverage was measured on made-up spaces
      alone.

    Raises:
      InputError: see `Rows.read`; pairs that the map of the others puts far from where they are (with their ids).

    >>> rng = np.random.default_rng(0); z = rng.normal(size=(400, 8)); new = z @ rng.normal(size=(8, 12))
    >>> found = plan(z, new[:120], old_ids=range(400), new_ids=range(120))
    >>> bool(found.kept["forward"].mean > 0.5), found.index, found.pairs
    (True, 400, 120)
    """
    require(isinstance(want, numbers.Real) and 0 < want <= 1, "want", got=want, wanted="a share in (0, 1]")
    whole(seed, "seed")
    rows = Rows.read(old, new, queries=queries, old_ids=old_ids, new_ids=new_ids)
    return plan_rows(rows.without_suspects(drop=drop_suspects), want=want, old_model=old_model, seed=seed)


def plan_rows(rows: Rows, *, want: float = 0.8, old_model: bool = True, seed: int = 0) -> Plan:
    """`plan` of rows that are read already."""
    n, curves = len(rows.old), {way: [] for way in ("forward", "backward")}
    for share in SHARES:
        if share == 1 or share * len(rows) * (1 - 1 / FOLDS) >= 10:
            events = _events(rows, share, seed)
            for way, curve in curves.items():
                curve.append((share * len(rows), kept(events[way], n, k=K, seed=seed), len(events[way].true)))
    found = {way: curve[-1][1] for way, curve in curves.items()}
    if old_model:
        found["keep"] = kept(_staying(rows), n, k=K, seed=seed)
    better = max(curves, key=lambda way: np.nan_to_num(found[way].mean))
    best, more = found[better], _more(curves[better])
    verdict = "bridge" if best.mean >= want else "reembed"
    if old_model and np.nan_to_num(found["keep"].mean) > np.nan_to_num(best.mean):
        verdict = "keep"
    sure = not best.low <= want <= best.high
    return Plan(n, len(rows), len(rows.queries), want, found, more, better, verdict, sure, K / n)


def _more(curve: list[tuple[float, Kept, int]]) -> dict[int, Kept]:
    """What more pairs would bring, where there are two numbers of pairs to tell it from."""
    known = [(pairs, found.mean) for pairs, found, _ in curve if not math.isnan(found.mean)]
    if len(known) < 2:
        return {}
    pairs, values = zip(*known, strict=True)
    line = LearningCurve.fit(pairs, [values], gallery=max(20, curve[-1][2] // FOLDS))
    ahead = {times: line.predict(times * pairs[-1]) for times in MORE}
    return {times: Kept(at.mean, at.low, at.high) for times, at in ahead.items()}


def _parts(rows: Rows, share: float, seed: int) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
    """For each fold: what is fitted on, the held-out pairs, and the held-out queries."""
    rng = np.random.default_rng(seed)
    of_queries = folds_of(len(rows.queries), FOLDS, seed) if len(rows.queries) else [np.zeros(0, int)] * FOLDS
    for held, asked in zip(folds_of(len(rows), FOLDS, seed), of_queries, strict=True):
        rest = rng.permutation(np.setdiff1d(np.arange(len(rows)), held))
        part = rows.take(np.sort(rest[: max(2, round(share * len(rest)))]))
        yield dataclasses.replace(part, queries=np.delete(rows.queries, asked, axis=0)), held, asked[: QUERIES // FOLDS]


def _events(rows: Rows, share: float, seed: int) -> dict[str, Events]:
    """Of both maps, each fitted on a share of the other folds' pairs."""
    index, place = _gallery(rows)
    found: dict[str, list[Events]] = dict(forward=[], backward=[])
    for part, held, asked in _parts(rows, share, seed):
        fitted = fit_rows(part, seed=seed)
        queries = unit_rows(rows.queries[asked] if len(asked) else rows.new[held][:QUERIES])
        true = queries @ unit_rows(rows.new).T
        if not len(asked):
            true[np.arange(len(queries)), held[: len(queries)]] = np.nan  # a query is no answer to itself
        true = normal_scores(true)[:, held]
        selves = None if len(asked) else place[rows.at[held[: len(queries)]]]
        rest = dict(true=true, names=held, tail=tail(len(rows)), selves=selves)
        documents = rows.pairs[held]
        found["forward"].append(ranked(queries, fitted.forward(index), fitted.forward(documents), **rest))
        found["backward"].append(ranked(fitted.backward(queries), unit_rows(index), unit_rows(documents), **rest))
    return {way: Events.joined(parts) for way, parts in found.items()}


def _gallery(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the index that are searched, and the place of each row of it among them, -1 = it is not there."""
    chosen = np.arange(len(rows.old))[even(len(rows.old), GALLERY)]
    place = np.full(len(rows.old), -1)
    place[chosen] = np.arange(len(chosen))
    return np.asarray(rows.old[chosen], np.float32), place


def _staying(rows: Rows) -> Events:
    """The old model for documents and queries; the pairs' documents are asked, because logged queries have no old rows."""
    index, place = _gallery(rows)
    asked = np.arange(len(rows))[even(len(rows), QUERIES)]
    new, old = unit_rows(rows.new), unit_rows(rows.pairs)
    true = new[asked] @ new.T
    true[np.arange(len(asked)), asked] = np.nan
    names = np.arange(len(rows))
    return ranked(old[asked], unit_rows(index), old, normal_scores(true), names, tail(len(rows)), place[rows.at[asked]])
