"""The page of a comparison: alone, well formed, escaped, and true in what it says of itself."""

from __future__ import annotations

import json
import re
import shlex
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import gera_jax
from gera_jax import reports
from gera_jax.cli.parser import make_parser as parser
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.statistics import CURVATURE
from gera_jax.comparison.sweep import Cell
from gera_jax.plots import basics
from gera_jax.reports import page as figures
from gera_jax.reports import words

CHANCE = {"mean/R@1": 0.002, "mean/R@10": 0.02, "foscttm": 0.5}
METHODS = ("auto", "ridge_cca", "asif", "gera", "csa", "sspc", "m3mix", "structure")
LABELS = {name: name.replace("_", " ") for name in METHODS} | {"gera": "GeRA <b>"}
EXAMPLES = [
    dict(query="a <script>alert(1)</script> cat", truth="cat", rank=2, found=["dog", "cat", "cow"], right=[False, True, False]),
    dict(query="violin", truth="fiddle", rank=17, found=["guitar", "cello", "harp"], right=[False] * 3),
]
PREFIXES = ("", "csls/", "inverted_softmax/", "csls_gallery/", "inverted_softmax_gallery/")


def made(methods=METHODS, counts=(20, 50, 100), seeds=3, *, best_step=None, examples=EXAMPLES, info=None):
    cells, rng = [], np.random.default_rng(0)
    for seed in range(seeds):
        for count in counts:
            for rank, method in enumerate(methods):
                score = 0.2 + 0.1 * np.log10(count) - 0.02 * rank + 0.01 * rng.normal()
                metrics = {
                    f"{p}{a}/R@{k}": score * k / 10 for p in PREFIXES for a in ("x_to_y", "y_to_x", "mean") for k in (1, 5, 10)
                }
                metrics |= {f"{a}/median_rank": 12.0 for a in ("x_to_y", "y_to_x")} | {f"{p}foscttm": 0.1 for p in PREFIXES}
                step = best_step if method == "gera" else None
                more = dict(metrics=metrics, chance=CHANCE, items=500, cpu_seconds=1.0, best_step=step, examples=examples)
                cells.append(Cell(method, count, seed, score, **more))
    about = dict(
        flags="--x 'my x.npy' --y y.npy --pairs p.csv",
        train="gera-jax fit --method auto --x 'my x.npy' --y y.npy --pairs p.csv --output winner",
        command="gera-jax compare --x 'my x.npy'",
        versions=dict(jax="0.10.2"),
        data=dict(items=500, paired_by="id", meet=900),
    )
    published = frozenset(methods) - {"auto", "gera"}
    labels = {m: LABELS[m] for m in methods}
    return Comparison(
        ("x", "y"), labels, published, counts, tuple(range(seeds)), cells, 500, "mean/R@10", 900, about | (info or {})
    )


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what the tests ask for."""

    VOID = frozenset({"meta", "br", "link", "img", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return made().report(tmp_path_factory.mktemp("run") / "new" / "report.html").read_text(encoding="utf-8")


def said(found, tmp_path):
    return " ".join(Page(reports.write(found, tmp_path / "r.html").read_text()).text.split())


def test_the_page_needs_nothing_but_itself(page):
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|<link|<script|src=|@import|url\((?!#)", without_names)
    assert re.search(r"https?://", page.replace("xmlns", "")) is not None  # the companion: the check can fail


def test_the_page_is_well_formed_and_can_be_heard(page):
    tags = Page(page).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) > 20 and len(set(ids)) == len(ids)
    for target in re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page):
        assert target in ids
    pictures = [attrs for tag, attrs in tags if tag == "svg"]
    assert len(pictures) == 2 and all(p["role"] == "img" and len(p["aria-label"]) > 30 for p in pictures)
    assert all("scope" in attrs for tag, attrs in tags if tag == "th") and ("html", {"lang": "en"}) in tags
    with pytest.raises(AssertionError):
        Page("<p><b></p></b>")


def test_words_of_the_user_are_escaped(page):
    assert "<script" not in page and "&lt;script&gt;" in page and "GeRA <b>" not in page and "GeRA &lt;b&gt;" in page


def test_the_page_says_what_to_do_and_how_it_was_made(page):
    text = Page(page).text
    for part in (
        "What to do next",
        "gera-jax fit --method auto",
        "jax 0.10.2",
        f"Made by gera_jax {gera_jax.__version__}",
        "900 items",
    ):
        assert part in text
    assert "Recommended at each number of pairs" in text and "auto is the default, and the best on the validation rows." in text


def test_a_sample_names_its_method_its_seed_and_its_misses(page):
    text = " ".join(Page(page).text.split())
    assert "drawn at random with seed 0" in text and "1 of these 2 have a true match among them" in text
    assert "auto: true match at rank 2" in text and "auto: true match at rank 17" in text
    assert "cat (a true match)" in text and "True match: fiddle" in text and "True match: cat" not in text


def test_every_table_has_its_columns_filled(page):
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    widths = {sum(int(n or 1) for n in re.findall(r'<t[hd](?:[^>]*?colspan="(\d+)")?[^>]*>', row)) for row in rows}
    assert widths == {1 + 3 + 8 + 3 + 1, 1 + 16 + 1, 1 + 6}  # methods, hubs corrected, more pairs


def test_at_most_six_curves_and_the_caption_names_the_rest():
    drawn = figures.quality(made())
    axes = drawn.figure.axes[0]
    coloured = [line for line in axes.lines if line.get_color() in basics.SERIES]
    assert len(coloured) == figures.NAMED == 6 and len(figures.named(made())) == 6
    assert "Thin grey lines are the other methods: m3mix, structure." in drawn.caption
    assert "Bands are 95 % intervals" in drawn.caption and len(axes.collections) == 12  # a band and the seeds' dots for each
    few = figures.quality(made(METHODS[:3], seeds=2))
    assert "Bands" not in few.caption and "grey" not in few.caption and "mean over 2 seeds" in few.caption
    assert len(few.figure.axes[0].collections) == 3
    one = figures.quality(made(METHODS[:3], counts=(50,), seeds=1))
    assert "one seed" in one.caption and "Bands" not in one.caption
    assert "what guessing scores" in few.caption and [t.get_text() for t in few.figure.axes[0].texts].count("chance") == 1


def test_a_method_has_one_colour_in_every_picture_and_whatever_stands_beside_it():
    found = made()
    styles = figures.styles(found)
    lines = {line.get_marker(): line.get_color() for line in figures.quality(found).figure.axes[0].lines}
    assert all(lines[marker] == color for color, marker in styles.values())
    assert {line.get_color() for axes in figures.more_pairs(found).figure.axes for line in axes.lines[:2]} == {styles["auto"][0]}
    assert len({color for color, _ in styles.values()}) == 6
    assert basics.method_styles(METHODS[::-1]) == basics.method_styles(METHODS)
    assert basics.method_styles(["auto"])["auto"] == basics.method_styles(["auto", "asif"])["auto"]
    assert len(basics.method_styles(map(str, range(20)))) == 20


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_learning_curve_shows_its_bands_whole(seeds):
    """Two seeds make wide ones."""
    found = made(METHODS[:2], counts=(50, 100), seeds=seeds)
    for axes, key in zip(figures.more_pairs(found).figure.axes, figures.KEYS, strict=True):
        band = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert axes.get_ylim()[1] >= min(100, band.max()) and key.removeprefix("mean/") in axes.get_ylabel()


@pytest.mark.parametrize(("best_step", "told"), [(0, True), (5, False), (None, False)])
def test_a_kept_start_is_told_in_page_and_text(best_step, told, tmp_path):
    found = made(("auto", "gera"), counts=(20,), best_step=best_step)
    words_of_it = "in 3 of 3 seeds no training step was better on the validation rows than its start"
    assert (words_of_it in said(found, tmp_path)) == told and (words_of_it in reports.text(found)) == told
    assert ("GeRA <b> *" in reports.text(found)) == told


def test_pages_of_little(tmp_path, monkeypatch):
    failed = Comparison(
        ("x", "y"), {"auto": "auto"}, frozenset(), (20,), (0,), [Cell("auto", 20, 0, error="a < b")], 5, "mean/R@10"
    )
    text = said(failed, tmp_path)
    assert "No method could be fitted" in text and "auto, 1 cells: a < b" in text and "What to do next" not in text
    assert "failed" in reports.text(failed)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = reports.write(made(METHODS[:2], counts=(20,), seeds=1, examples=()), tmp_path / "r.html").read_text()
    assert 'pip install "gera_jax[plots]"' in text and "<svg" not in text and "<table>" in text
    assert "A sample of test queries" not in text


def test_a_page_from_results_json_alone_is_the_same_page(tmp_path, page):
    content = json.loads(json.dumps(made().to_dict()))
    assert reports.write(Comparison.from_dict(content), tmp_path / "r.html").read_text() == page


@pytest.mark.parametrize(
    "info", [{}, dict(flags="--data clipart", train="gera-jax fit --method auto --data clipart --output winner")]
)
def test_the_next_commands_parse(info):
    steps = words.next_steps(made(METHODS[:2], counts=(20,), seeds=1, info=info | dict(preset=True)))
    assert len(steps) == 3 and all(parser().parse_args(shlex.split(command)[1:]) for _, command in steps)
    own = [command for _, command in steps if command.startswith("gera-jax embed")]
    assert own == ([] if info else ["gera-jax embed winner --x 'my x.npy' --output z.npy"])
    with pytest.raises(SystemExit):
        parser().parse_args(["compare", "--quik"])


def test_headline_tells_a_lead_from_noise(tmp_path):
    found = made(("auto", "ridge_cca"), counts=(20,))
    text = words.headline(found)
    assert text.startswith("With 20 known pairs, auto finds the true match among its first ten for")
    assert "guessing would for 2.0%" in text and "points against ridge cca, the best published method here" in text
    lead = next(d for d in found.differences(20) if d.method == "auto").values["mean/R@10"]
    assert ("no more than the noise" in text) == (abs(lead.mean) <= lead.half)
    assert "(±" not in words.headline(made(("auto", "ridge_cca"), counts=(20,), seeds=1))


def test_a_gallery_of_few_rows_is_told_by_its_first_hits():
    rows = np.random.default_rng(0).normal(size=(40, 5))
    few, many = (
        words.headline(gera_jax.compare(x=rows, y=rows, methods="procrustes", counts=20, seeds=1, test=size, jobs=1))
        for size in (8, 16)
    )
    assert "finds the true match first for 100.0% of 8 test items" in few and "guessing would for 12.5%" in few
    assert "among its first ten for 100.0% of 16 test items" in many


def test_page_and_text_say_what_the_pairs_are_worth(tmp_path):
    """The other method has the score of "auto" at twice the pairs, on the common form of learning curves."""
    found = made(seeds=2)
    for cell in found.cells:
        u = np.log(cell.pairs / (1 if cell.method == "auto" else 2))
        cell.metrics["mean/R@10"] = float(np.exp(-np.exp(0.9 - 0.2 * u - CURVATURE / 2 * u**2)))
    other, factors = found.worth("auto")
    assert other == "ridge_cca" and [round(at.factor, 1) for at in factors] == [2.0, 2.0, 2.0]
    told = words.worth(found)
    assert told.startswith("For the same R@10, ridge cca needs this many times the pairs of auto: 2.0") and told.endswith(
        "at 100."
    )
    assert told in reports.text(found) and told in said(found, tmp_path)
    assert words.worth(made(counts=(20, 50))) == ""  # two counts draw no curve
    assert found.worth("ridge_cca")[1] == []  # it is its own yardstick
