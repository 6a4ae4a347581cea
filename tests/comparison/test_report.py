from __future__ import annotations

import math
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from gera_jax import plots
from gera_jax.checks import InputError
from gera_jax.comparison import QuickstartResults, Row, format_table, write_report
from gera_jax.comparison.results import best, columns, headline, mean_recall, summarize

NAMES = ("image", "text")


def metrics(r10, foscttm=0.1):
    both = {f"{a}_to_{b}/R@{k}": r10 * k / 10 for a, b in (NAMES, NAMES[::-1]) for k in (1, 5, 10)}
    return both | {"foscttm": foscttm, "neighbours_kept/image": 0.5, "neighbours_kept/text": 0.25}


ROWS = [
    Row("ridge_cca", "", 100, 0, metrics(0.40, 0.12), 0.2),
    Row("gera", "ridge_cca", 100, 0, metrics(0.50), 30.0),
    Row("gera", "ridge_cca", 100, 1, metrics(0.60), 40.0),
    Row("ridge_cca", "", 1000, 0, metrics(0.70), 0.2),
    Row("gera", "ridge_cca", 1000, 0, metrics(0.65, 0.05), 30.0),
]


def results(**changes):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2))
    full = dict(
        rows=ROWS,
        curves={"gera <100>": [{"step": s, "loss": 1 / (s + 1), "val/mean/R@10": s / 10} for s in range(5)]},
        picture=dict(x=x, y=x + 0.1, labels=[f"item & {i}" for i in range(50)]),
        examples=[
            dict(query="a <script>alert(1)</script> cat", truth="cat", found=["dog", "cat", "cow"], rank=2),
            dict(query="violin", truth="fiddle", found=["guitar", "cello", "harp"], rank=17),
        ],
        names=NAMES,
        notes=["Unpaired items were split in two halves."],
        settings=dict(
            command="gera-jax quickstart",
            versions=dict(jax="0.10.2"),
            unpaired="independent",
            config={"seed": 7},
        ),
        test_items=500,
    )
    return QuickstartResults(**(full | changes))


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what the tests ask for."""

    VOID = frozenset({"meta", "br", "link", "img", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = write_report(tmp_path_factory.mktemp("run") / "new" / "report.html", results())
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(page):
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|<link|<script|src=|@import|url\((?!#)", without_names)
    assert re.search(r"https?://", page.replace("xmlns", "")) is not None  # the companion: the check can fail


def test_the_page_is_well_formed_and_its_ids_are_unique(page):
    parsed = Page(page)
    assert len(parsed.ids) > 20 and len(set(parsed.ids)) == len(parsed.ids)
    for target in re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page):
        assert target in parsed.ids
    with pytest.raises(AssertionError):
        Page("<p><b></p></b>")


def test_the_page_can_be_heard(page):
    tags = Page(page).tags
    pictures = [attrs for tag, attrs in tags if tag == "svg"]
    assert len(pictures) == 3 and all(p["role"] == "img" and len(p["aria-label"]) > 30 for p in pictures)
    assert "gera, from ridge_cca, 100 pairs: 55.0%" in pictures[0]["aria-label"]
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    assert ("html", {"lang": "en"}) in tags


def test_words_of_the_user_are_escaped(page):
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "item &amp;" in page and "gera &lt;100&gt;" in page


def test_hits_and_misses_are_told_apart(page):
    text = Page(page).text
    assert "hit at rank 2" in text and "cat (the true match)" in text
    assert "miss: the true match is at rank 17" in text and "True match: fiddle" in text
    assert "1 of these 2 are hits" in text


def test_the_page_tells_how_it_was_made(page):
    text = Page(page).text
    assert all(words in text for words in ("gera-jax quickstart", "0.10.2", "independent", '"seed": 7', "two halves"))


def test_empty_parts_are_left_out(tmp_path):
    text = write_report(tmp_path / "r.html", QuickstartResults(rows=[])).read_text()
    assert "<h2>" not in text and "No retrieval numbers were measured." in text
    Page(text)


def test_without_matplotlib_the_page_has_its_tables_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = write_report(tmp_path / "r.html", results()).read_text()
    assert "pip install &quot;gera_jax[plots]&quot;" in text and "<svg" not in text and "<table>" in text


def test_headline_names_the_best_at_the_fewest_pairs_and_its_noise():
    words = headline(results())
    assert words.startswith("With 100 known pairs, gera, from ridge_cca puts the true match among its first ten for 55.0%")
    assert "next is ridge_cca with 40.0%" in words and "15.0 points is larger than the noise" in words
    few = headline(results(test_items=40))  # the same numbers on few items: not a finding
    assert "within the noise" in few
    noise = 2 * math.sqrt((0.55 * 0.45 + 0.4 * 0.6) / 40)
    assert f"(±{100 * noise:.1f} points)" in few
    assert headline(results(headline="Nothing won.")) == "Nothing won."


def test_summaries_are_means_over_seeds_by_pairs_then_order():
    found = summarize(ROWS)
    assert [(s.pairs, s.label, s.seeds) for s in found] == [
        (100, "ridge_cca", 1),
        (100, "gera, from ridge_cca", 2),
        (1000, "ridge_cca", 1),
        (1000, "gera, from ridge_cca", 1),
    ]
    assert found[1].metrics["image_to_text/R@10"] == pytest.approx(0.55) and found[1].seconds == 35.0
    assert found[1].spread["image_to_text/R@10"] == pytest.approx(0.1 / math.sqrt(2)) and not found[0].spread
    assert mean_recall(found[1].metrics, NAMES) == pytest.approx(0.55)
    assert math.isnan(mean_recall({}, NAMES)) and mean_recall({"mean/R@10": 0.3}, NAMES) == 0.3


def test_best_goes_by_what_is_printed_and_by_the_good_direction():
    by_key = {column.key: column for column in columns(NAMES)}
    block = summarize(ROWS[3:])
    assert best(block, by_key["image_to_text/R@10"]) == {"ridge_cca"}
    assert best(block, by_key["foscttm"]) == {"gera, from ridge_cca"}  # smaller is better
    assert best(block, by_key["neighbours_kept/text"]) == {"ridge_cca", "gera, from ridge_cca"}
    assert best(block[:1], by_key["foscttm"]) == set()
    broken = [Row("a", "", 1, 0, {"foscttm": math.nan}, 0), Row("b", "", 1, 0, {"foscttm": 0.5}, 0)]
    assert "a" not in best(summarize(broken), by_key["foscttm"])


def test_format_table_word_for_word():
    rows = [
        Row("cca", "", 100, 0, {"a_to_b/R@1": 0.1, "foscttm": 0.2}, 0.25),
        Row("gera", "cca", 100, 0, {"a_to_b/R@1": 0.125}, 12.0),
    ]
    assert format_table(rows).splitlines() == [
        "                  a to b",
        "method               R@1   FOSCTTM   seconds",
        "100 pairs ----------------------------------",
        "  cca               10.0     0.200       0.2",
        "  gera, from cca    12.5*        -      12.0",
        "--------------------------------------------",
        "* best of its block. R@k and neighbours kept in %. FOSCTTM: 0 is perfect, 0.5 is chance.",
    ]


def test_format_table_keeps_its_columns_under_their_headings():
    lines = format_table(ROWS).splitlines()
    assert "image to text" in lines[0] and "text to image" in lines[0] and "neighbours kept" in lines[0]
    width = len(lines[1])
    assert all(len(line) <= width for line in lines[:-1]) and "Means over seeds" in lines[-1]
    assert format_table([]) == "(no rows)"


def test_svg_is_xml_with_page_colours_and_the_same_every_time():
    points = {"a": [(100, 0.2), (300, 0.3)], "b": [(100, 0.25)]}
    first, again = (plots.svg(plots.recall_against_pairs(points, chance=0.02), "q", 'say "a" & b') for _ in range(2))
    assert first == again
    assert ElementTree.fromstring(first).get("aria-label") == 'say "a" & b'
    assert "var(--s0, #0b62a4)" in first and "var(--ink" not in first.replace("var(--ink, #1c2026)", "")
    assert "fill: #000000" not in first and "stroke: #000000" not in first  # unreadable on a dark page


def test_plots_of_one_count_and_of_bare_runs():
    assert "1,000 known pairs" in plots.svg(plots.recall_against_pairs({"a": [(1000, 0.2)]}), "q", "alt")
    bare = plots.training_curves({"run": [{"step": 1, "loss/a": 2.0}, {"step": 2, "loss/a": None}]})
    assert ">run<" in plots.svg(bare, "c", "alt")


def test_the_metric_that_is_shown_is_the_one_that_is_named():
    rows = [{"step": step, "val/mean/R@1": 0.2, "val/mean/R@10": 0.6} for step in (1, 2)]
    for recall, name, height in ((None, "R@10", 60), ("val/mean/R@1", "R@1", 20)):
        axes = plots.training_curves({"run": rows}, recall=recall).axes[0]
        assert axes.get_ylabel() == f"validation {name} (%)" and axes.lines[0].get_ydata()[0] == pytest.approx(height)


def test_the_last_layers_are_framed_where_they_are():
    axes = plots.layer_heatmap(np.arange(12.0).reshape(3, 4), chosen=(-1, -1)).axes[0]
    assert axes.patches[0].get_xy() == (2.5, 1.5) and axes.get_title(loc="left") == "layers 2 and 3: 11.000"


def test_plots_refuse_what_they_cannot_show(monkeypatch):
    with pytest.raises(InputError, match="points: got no method"):
        plots.recall_against_pairs({})
    with pytest.raises(InputError, match=r"x and y: got \(3, 3\) and \(3, 3\); wanted \[n, 2\] both"):
        plots.joint_space(np.ones((3, 3)), np.ones((3, 3)))
    with pytest.raises(InputError, match="labels: got 2 for 3 pairs; wanted one for each, or none"):
        plots.joint_space(np.ones((3, 2)), np.ones((3, 2)), ["a", "b"])
    for values in ([(10, 0.5)], [(10, 0.5), (20, 0.6)]):
        with pytest.raises(InputError, match="points: got no value of b; wanted at least one for each method"):
            plots.recall_against_pairs({"a": values, "b": []})
    for rows in ([], [{"step": 1, "lr": 0.1}]):
        with pytest.raises(InputError, match="curves: got no recall and no loss in any row"):
            plots.training_curves({"run": rows})
    for x, y, words in (
        (np.ones((3, 1)), np.ones((3, 1)), r"got \(3, 1\) and \(3, 1\)"),
        (np.ones((3, 2)), np.ones((3, 4)), "got"),
        (np.full((3, 2), np.nan), np.ones((2, 2)), "got 3 rows with NaN"),
    ):
        with pytest.raises(InputError, match=f"x and y: {words}"):
            plots.pca_plane(x, y)
    with pytest.raises(InputError, match=r"chosen: got \(3, 0\); wanted a layer of x and one of y, of 3 and 4"):
        plots.layer_heatmap(np.ones((3, 4)), chosen=(3, 0))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "gera_jax\[plots\]"'):
        plots.joint_space(np.ones((3, 2)), np.ones((3, 2)))


def test_pca_plane_keeps_distances_of_a_flat_cloud_and_shrinks_others():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(16, 16)))
    flat = rng.normal(size=(20, 2)) @ basis[:2] + 3.0
    x, y = plots.pca_plane(flat[:10], flat[10:])
    np.testing.assert_allclose(np.linalg.norm(x - y, axis=1), np.linalg.norm(flat[:10] - flat[10:], axis=1), rtol=1e-9)
    full = rng.normal(size=(20, 16))
    x, y = plots.pca_plane(full[:10], full[10:])
    assert (np.linalg.norm(x - y, axis=1) < np.linalg.norm(full[:10] - full[10:], axis=1)).all()
