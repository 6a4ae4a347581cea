"""What a comparison is about: pairs and how each seed cuts them, how a setting is chosen, and what a cell reports."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.aligners.kinds import FittedModel
from gera_jax.checks import require, require_known, whole
from gera_jax.config.schema import UNPAIRED
from gera_jax.data import Pairs, catalog, load_pairs
from gera_jax.data.alignment import AlignmentData, prepare
from gera_jax.data.load import command, look_commands
from gera_jax.data.splits import size_by_rule, size_by_share
from gera_jax.evaluation.split import DIGITS, corrected_metrics, metric_names, reference_rows, split_metrics
from gera_jax.solvers.several_tables import weigh_tables

COUNTS = (20, 50, 100, 200, 500, 1000, 2000)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """The pairs of a comparison and the rule by which a seed cuts them.

    Args:
      pairs: all of them.
      split: "random", or "group": look-alikes stay together.
      unpaired: what is given of training items beside the known pairs, see `Pairs.head`.
      val, test: items that select and that are reported on, or a share of all; None = by the one rule of `Pairs.split`; 0 = none,
        where nothing is chosen or nothing reported.
      group_key: the field of the meta that look-alikes share.

    >>> data = Task(load_pairs("emoji"), val=150, test=400).data(100, seed=0)
    >>> len(data.pairs), len(data.val), len(data.test), len(data.unpaired["text"])
    (100, 150, 400, 498)
    """

    pairs: Pairs
    split: str = "random"
    unpaired: str = "independent"
    val: int | None = None
    test: int | None = None
    group_key: str = ""

    def __post_init__(self) -> None:
        require(self.split in ("random", "group"), "split", got=f'"{self.split}"', wanted='"random" or "group"')
        require_known(self.unpaired, UNPAIRED, "unpaired")
        count = self.pairs.item_count
        sizes = {name: _size(size, name, count) for name, size in (("val", self.val), ("test", self.test))}
        require(
            all(n == 0 or n >= 2 for n in sizes.values()) and sum(sizes.values()) + 2 <= count,
            "pairs",
            got=f"{count} items with both rows, of which {sizes['val']} validate and {sizes['test']} test",
            wanted="at least 2 to validate, 2 to test and 2 to train on",
            remedy="Give more pairs, or other val and test.",
        )
        key = self.group_key or self.pairs.group_key
        for name, value in dict(group_key=key, **sizes).items():
            object.__setattr__(self, name, value)

    def parts(self, count: int, seed: int) -> tuple[Pairs, Pairs, Pairs]:
        """The first `count` known pairs of the split of `seed` (0 = all of its training pairs), and what validates and tests."""
        rule = dict(val=self.val, test=self.test, by=self.split, group_key=self.group_key)
        train, val, test = self.pairs.split(**rule, seed=seed)
        return train.head(count or None, self.unpaired), val, test

    def data(self, count: int, seed: int) -> AlignmentData:
        """The `parts` with their rows preprocessed."""
        return weigh_tables(prepare(*self.parts(count, seed), preprocess=self.pairs.preprocess, seed=seed))

    @property
    def source(self) -> str:
        """The name of the bundled set, or "arrays"."""
        return self.pairs.bundled or "arrays"

    @functools.cached_property
    def fingerprints(self) -> list[str]:
        """Hash of the content of each table."""
        return list(self.pairs.fingerprints)

    def counts(self, asked: Sequence[int], seeds: Sequence[int]) -> tuple[int, ...]:
        """The pair counts to look at: those asked for, else the usual ones that there are pairs for (own data: and all)."""
        differ = self.split == "group" or self.pairs.captions  # else every seed trains on as many pairs
        most = min(len(self.parts(0, seed)[0]) for seed in (seeds if differ else seeds[:1]))
        got = f"{most} training pairs beside validation and test"
        require(most >= 2, "pairs", got=got, wanted="at least 2 pairs", remedy="Give more pairs, or lower --val and --test.")
        if not asked:
            usual = [count for count in COUNTS if count <= most]
            return tuple(usual if self.pairs.bundled else sorted({*usual, most}))
        counts = sorted({whole(count, "pairs", least=2) for count in asked})
        for count in counts:
            wanted = f"at most {most}, the pairs that train (validation and test take {self.val} and {self.test} items)"
            require(count <= most, "pairs", got=count, wanted=wanted, remedy="Lower it, or --val and --test.")
        return tuple(counts)

    @property
    def flags(self) -> str:
        """The command-line flags that name the data."""
        return command(self.pairs.source)

    @property
    def look(self) -> tuple[str, ...]:
        """Commands that show what the data are."""
        return look_commands(self.pairs.source)

    @property
    def options(self) -> str:
        """The command-line flags of the split and the regime, beside `flags`."""
        return f"{self.split_flags} --unpaired {self.unpaired} --val {self.val} --test {self.test}".strip()

    @property
    def split_flags(self) -> str:
        """The command-line flags of a split that is not the usual one."""
        if self.split == "random":
            return ""
        return command(["--split", self.split, *(["--group-key", self.group_key] if self.group_key else [])])

    def describe(self) -> dict[str, Any]:
        """Split, regime and gallery sizes, for people and for the key of the cache."""
        rule = {name: getattr(self, name) for name in ("split", "unpaired", "val", "test", "group_key")}
        return dict(source=self.source, **rule)


def _size(size: Any, name: str, count: int) -> int:
    """Items of a part: a number, a share of all, or None for the one rule."""
    if size is None:
        return size_by_rule(name, count)
    return max(2, size_by_share(size, count)) if isinstance(size, float) and 0 < size < 1 else whole(size, name)


def make_task(
    data: Any = None,
    *,
    split: str = "random",
    unpaired: str = "independent",
    val: int | None = None,
    test: int | None = None,
    group_key: str = "",
    **source: Any,
) -> Task:
    """A task from `Pairs`, a bundled set's name, or the arguments of `load_pairs`, and the fields of a `Task`."""
    if data is not None:
        named = [name for name, value in source.items() if value is not None and value is not False]
        require(not named, "data", got=f"both data and own tables ({', '.join(named)})", wanted="data, or own x and y")
        source = dict(x=data)
    return Task(load_pairs(**source), split, unpaired, val, test, group_key)


METRIC = "mean/MRR"  # it moves where R@10 is full, and wavers less than R@1 where hits are few
BUDGET = 4


class Trial(NamedTuple):
    """One setting of a method and what it scored on the validation rows."""

    setting: Mapping[str, Any]
    score: float
    cpu_seconds: float


def trials(settings: Sequence[Mapping[str, Any]], budget: int) -> Sequence[Mapping[str, Any]]:
    """The settings that a method may try: the first `budget` of its list, its default first.

    >>> trials([{}, {"power": 4}, {"power": 2}], 2)
    [{}, {'power': 4}]
    """
    require(budget >= 1, "budget", got=budget, wanted="at least 1 trial, a method's default")
    return settings[:budget]


def goodness(score: float, metric: str = METRIC) -> float:
    """`score` so that higher is better, whichever way `metric` goes; a NaN is worse than everything.

    >>> goodness(0.3), goodness(2.0, "mean/mean_rank"), goodness(float("nan"))
    (0.3, -2.0, -inf)
    """
    sign = -1.0 if metric.endswith(("rank", "foscttm")) else 1.0
    return -np.inf if np.isnan(score) else sign * score


def choose(tried: Sequence[Trial], metric: str = METRIC) -> int:
    """The trial of the best validation score; of equal ones the earlier, and a NaN never wins.

    >>> choose([Trial({}, 0.3, 1.0), Trial({"power": 4}, 0.5, 1.0), Trial({"power": 2}, 0.5, 1.0)])
    1
    >>> choose([Trial({}, 3.0, 1.0), Trial({"power": 4}, 5.0, 1.0)], "mean/mean_rank")
    0
    """
    return int(np.argmax([goodness(trial.score, metric) for trial in tried]))


def rule(budget: int, metric: str = METRIC) -> str:
    """The rule in words, for reports."""
    tried = "1 setting" if budget == 1 else f"{budget} settings"
    return (
        f"Every method tries at most {tried}, its default first, and keeps the one with the best {metric} on the "
        "validation rows (of equal ones the earlier). Trained methods also keep their best step by the same rows. "
        "Test rows are scored once, with that setting."
    )


Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (row numbers of x, of y) -> [n, m], higher = closer


def scores_of(data: AlignmentData, fitted: FittedModel) -> Scores:
    """Scores of raw rows by their numbers: the same computation as `Aligner.score`, to the last digit."""
    x, y = (data.tables[name].rows for name in data.names[:2])
    return lambda i, j: fitted.similarity(np.asarray(x[i]), np.asarray(y[j]))


def require_metric(metric: str, names: tuple[str, str]) -> None:
    """Refuse a metric that `validation_metrics` does not give, with the nearest known one."""
    require_known(metric, metric_names(names), "metric")


def _of(part: Pairs) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Sorted distinct rows of the two sides of held-out pairs, and what `split_metrics` is told of them."""
    ((_, rows, (x_groups, y_groups)),) = part.couples()
    return rows, dict(names=part.names, x_groups=x_groups, y_groups=y_groups)


def validation_metrics(data: AlignmentData, scores: Scores) -> dict[str, float]:
    """Retrieval on the validation rows by plain scores."""
    rows, options = _of(data.val)
    return split_metrics(scores(*rows), **options)


def measure(data: AlignmentData, scores: Scores) -> dict[str, float]:
    """`split_metrics` of the test rows, and `corrected_metrics` with densities from the training rows."""
    (x, y), options = _of(data.test)
    training, plain = list(map(reference_rows, data.train.pool)), scores(x, y)
    corrected = corrected_metrics(plain, scores(x, training[1]), scores(training[0], y), **options)
    return {**split_metrics(plain, **options), **corrected}


QUERIES, FOUND = 5, 3
FIELDS = ("caption", "text", "title", "name", "label")  # of the meta of own tables
LONGEST = 120


def draw(test: Pairs, scores: Scores, *, seed: int) -> list[dict[str, Any]]:
    """Queries of y drawn at random from the test rows, and the rows of x that have the highest scores.

    Args:
      test: pairs to draw from.
      scores: (row numbers of x, row numbers of y) -> [n, m], higher is closer.
      seed: of the draw.

    Returns:
      for each query `query`, `truth` and `found` in words, `rank` of its best partner (1 = the first found), and `right`: which
      of the rows found are its partners.
    """
    (x, y), _ = _of(test)
    y = np.sort(np.random.default_rng(seed).permutation(y)[:QUERIES])
    partner = test.groups[0][x][:, None] == test.groups[1][y][None]
    table, drawn = np.round(np.asarray(scores(x, y)[:], np.float64), DIGITS), []
    for column, row in enumerate(y):
        of, right = table[:, column], partner[:, column]
        best = np.flatnonzero(right)[np.argmax(of[right])]
        order = np.argsort(-of, kind="stable")[:FOUND]
        drawn.append(
            dict(
                query=words(test, 1, row),
                truth=words(test, 0, x[best]),
                rank=1 + int(np.sum(~right & (of > of[best]))),
                found=[words(test, 0, x[i]) for i in order],
                right=[bool(right[i]) for i in order],
            )
        )
    return drawn


def words(pairs: Pairs, side: int, row: int) -> str:
    """What a row is: its caption where its table has one, else its id."""
    table = pairs.tables[side]
    known: Sequence[str] = (catalog.info(pairs.bundled).captions[table.name],) if pairs.bundled else FIELDS
    fields: Mapping[str, Any] = table.meta[row] if table.meta is not None else {}
    text = next((str(fields[field]) for field in known if fields.get(field)), str(table.ids[row]))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
