"""The page of a comparison: what wins at which number of pairs, by how much, and what more pairs would bring."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from gera_jax import plots
from gera_jax.comparison import compare_plots
from gera_jax.comparison.learning_curve import coverage
from gera_jax.comparison.outcome import POINTS, Comparison, Interval
from gera_jax.comparison.page import NO_PICTURES, figure, section, write_page
from gera_jax.evaluation.split import CORRECTIONS, NEIGHBOURS, REFERENCE_ROWS, TEMPERATURE
from gera_jax.writers import duration

LEGEND = (
    "R@k: how often, in percent, the true match is among the first k found. Median rank: 1 is perfect. FOSCTTM: the share of "
    "items, in percent, closer than the true match (0 is perfect, 50 is chance). CSLS and ISF (inverted softmax) correct the "
    "scores of hubs: with densities from training rows, or (gallery) from the test rows themselves, which a query that comes "
    "alone does not have. Means over seeds, ± half a 95 % interval. CPU s: one fit at the chosen setting."
)
WIDE = "main { max-width: 76rem; } figure { max-width: 54rem; }\n"
SCROLL = '<div class="scroll" tabindex="0" role="region" aria-label='


def write_compare_report(path: str | os.PathLike, found: Comparison) -> Path:
    """Write the comparison as one self-contained page (styles and pictures inside) and return its path."""
    x, y = found.names
    title = f"{x} and {y}: the best space from the pairs there are"
    sections = [
        section("Train the winner on everything", _train(found)),
        _pictures(found),
        section("What more pairs would bring", _more(found)),
        *(section(f"{count:,} known pairs", _table(found, count)) for count in found.counts),
        section("Settings that were chosen", _settings(found)),
        section("What could not be fitted", _failures(found)),
        section("How this was made", _made(found)),
    ]
    return write_page(path, title, headline(found), sections, WIDE)


def headline(found: Comparison) -> str:
    """What to use, how good it is, and whether the lead over the best published baseline is more than noise."""
    top, last = found.recommended, found.counts[-1]
    if not top:
        return found.reason
    at = found.mean(top, last, "mean/R@10")
    text = f"With {last:,} known pairs, {found.labels[top]} finds the true match among its first ten for {100 * at.mean:.1f}%"
    items, chance = found.info.get("data", {}).get("items", found.gallery), found.chance(last, "mean/R@10")
    text += f" of {items:,} test items" + (f" (± {100 * at.half:.1f})" if math.isfinite(at.half) else "")
    text += f"; guessing would for {100 * chance.mean:.1f}%." if chance else "."
    reference = found.reference(last)
    lead = next((d.values["mean/R@10"] for d in found.differences(last) if d.method == top), None)
    if lead is not None:
        words = f"{100 * lead.mean:+.1f} points against {found.labels[reference]}, the best published baseline"
        if math.isfinite(lead.half):
            size = "more" if abs(lead.mean) > lead.half else "no more"
            words += f" (± {100 * lead.half:.1f}: {size} than the noise of {len(found.seeds)} seeds)"
        text += f" {words}."
    return text


def _train(found: Comparison) -> str:
    if not found.recommended:
        return ""
    lines = []
    for count in found.counts:
        best = found.winner(count)
        lines.append(f"<li>{count:,} pairs: {escape(found.labels[best]) if best else 'none is better than chance'}</li>")
    return (
        f"<pre>{escape(found.info.get('train', ''))}</pre>\n<p>Best by the validation rows at each number of pairs:</p>\n"
        f'<ul class="notes">{"".join(lines)}</ul>'
    )


def _pictures(found: Comparison) -> str:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return f'<p class="quiet">{escape(NO_PICTURES)}</p>'
    if len(found.counts) < 2 or not found.methods():
        return ""
    spoken = "; ".join(
        f"{found.labels[m]}, {c:,} pairs: {100 * found.mean(m, c, 'mean/R@10').mean:.1f}%"
        for m in compare_plots.highlighted(found)
        for c in found.counts
        if found.at(m, c)
    )
    picture = plots.svg(compare_plots.quality_curves(found), "quality", f"R@10 against known pairs. {spoken}.")
    note = "Bands: 95 % intervals over seeds. Thin grey lines: the other methods, all in the tables below."
    return section("Quality against known pairs", figure(picture, note))


def _more(found: Comparison) -> str:
    rows = found.more_pairs()
    if not rows:
        return ""
    last, cells = found.counts[-1], []
    for pairs, expected in rows:
        values = "".join(
            f"<td>{100 * p.mean:.1f}</td><td>{100 * p.low:.1f} to {100 * p.high:.1f}</td><td>{100 * p.run_low:.1f} to "
            f"{100 * p.run_high:.1f}</td>"
            for p in expected.values()
        )
        more = f"{pairs - last:,} more" if pairs > last else "as now"
        cells.append(f'<tr><th scope="row">{pairs:,} ({more})</th>{values}</tr>')
    heads = "".join(f'<th class="group" colspan="3" scope="colgroup">{key.removeprefix("mean/")}, %</th>' for key in rows[0][1])
    table = (
        f'{SCROLL}"More pairs"><table><thead><tr><td></td>{heads}</tr><tr><th scope="col">known pairs</th>'
        + '<th scope="col">expected</th><th scope="col">mean of runs</th><th scope="col">one run</th>' * len(rows[0][1])
        + f"</tr></thead><tbody>{''.join(cells)}</tbody></table></div>"
    )
    picture = ""
    try:
        drawn = compare_plots.learning_curves(found)
        picture = figure(
            plots.svg(drawn, "more", "The fitted learning curve of the recommended method, beyond the pairs that are known."),
            "Points: single seeds. Bands, 95 %: the mean over all seeds (dark); one run, of its own split and pairs (light).",
        )
    except ImportError:
        pass
    words = []
    for key in rows[0][1]:
        hidden = list(found.hidden(key).values())
        if hidden:
            of = coverage(hidden)
            words.append(
                f"{key.removeprefix('mean/')}: the means of {round(of['means'] * of['hidden'])} of {of['hidden']} methods and "
                f"{100 * of['runs']:.0f}% of single runs lay inside; predictions were off by {100 * of['error']:.1f} points"
            )
    check = (
        f'<p class="quiet">Checked by hiding {last:,} pairs from the fit and predicting them. {". ".join(words)}.</p>'
        if words
        else ""
    )
    model = '<p class="quiet">-log(R@k) = c pairs<sup>-b</sup>, a power law whose exponent b may wander with log(pairs).</p>'
    return "\n".join([table, picture, check, model])


def _table(found: Comparison, count: int) -> str:
    x, y = found.names
    columns: Columns = []
    for a, b in ((x, y), (y, x)):
        columns += [(f"{a} to {b}", f"R@{k}", f"{a}_to_{b}/R@{k}", True) for k in (1, 5, 10)]
        columns += [(f"{a} to {b}", "median", f"{a}_to_{b}/median_rank", False)]
    columns += [
        ("both ways", "R@1", "mean/R@1", True),
        ("both ways", "R@10", "mean/R@10", True),
        ("both ways", "FOSCTTM", "foscttm", False),
    ]
    hubs: list[tuple[str, str, str, bool]] = []
    for name, words in (
        ("csls", "CSLS"),
        ("inverted_softmax", "ISF"),
        ("csls_gallery", "CSLS, gallery"),
        ("inverted_softmax_gallery", "ISF, gallery"),
    ):
        hubs += [(words, f"R@{k}", f"{name}/mean/R@{k}", True) for k in (1, 5, 10)] + [
            (words, "FOSCTTM", f"{name}/foscttm", False)
        ]
    main = _metric_table(found, count, columns, differences=True)
    if not main:
        return "<p>No method could be fitted.</p>"
    caption = f'<p class="quiet">{escape(LEGEND)} ← best by the validation rows.</p>' if count == found.counts[0] else ""
    corrected = _metric_table(found, count, hubs, differences=False)
    notes = [f"* {found.start_note(m, count)}." for m in found.labels if found.kept_start(m, count)]
    chances = [chance for key in POINTS if (chance := found.chance(count, key))]
    if chances:
        words = (f"{c.key.removeprefix('mean/').upper()} {100 * c.mean:.1f}, by luck {100 * c.luck:.1f}" for c in chances)
        notes.insert(0, f"Guessing scores {'; '.join(words)}.")
    main += "".join(f'<p class="quiet">{escape(note)}</p>' for note in notes)
    return f"{main}\n<details><summary>With hubs corrected, both ways</summary>\n{corrected}\n</details>\n{caption}"


Columns = list[tuple[str, str, str, bool]]


def _metric_table(found: Comparison, count: int, columns: Columns, *, differences: bool) -> str:
    have = [m for m in found.labels if found.at(m, count)]
    if not have:
        return ""
    reference = found.reference(count)
    against = {d.method: d.values for d in found.differences(count)} if differences else {}
    means = {(m, key): found.mean(m, count, key) for m in have for _, _, key, _ in columns}
    best = {key: (max if up else min)(means[m, key].mean for m in have) for _, _, key, up in columns}
    groups: list[tuple[str, int]] = []
    for group, *_ in columns:
        groups = [*groups[:-1], (group, groups[-1][1] + 1)] if groups and groups[-1][0] == group else [*groups, (group, 1)]
    minus = [(f"minus {found.labels[reference]}" if reference else "difference", 3)] if differences else []
    top = "".join(f'<th scope="colgroup" colspan="{n}" class="group">{escape(g)}</th>' for g, n in [*minus, *groups])
    heads = "".join(
        f'<th scope="col">{escape(h)}</th>'
        for h in (*(("R@1", "R@10", "FOSCTTM") if differences else ()), *(c[1] for c in columns), "CPU s")
    )
    lines = []
    for m in have:
        cells = ""
        if differences and m in against:
            cells = "".join(
                f"<td>{_signed(against[m][key], up)}</td>"
                for key, up in (("mean/R@1", True), ("mean/R@10", True), ("foscttm", False))
            )
        elif differences:
            cells = f'<td colspan="3">{"reference" if m == reference else "not every seed"}</td>'
        for _, _, key, _ in columns:
            value = means[m, key]
            text = f"{value.mean:.1f}" if key.endswith("rank") else f"{100 * value.mean:.1f}"
            cells += f"<td{' class=best' if value.mean == best[key] else ''}>{text}{_half(value, key)}</td>"
        seconds = sum(cell.cpu_seconds for cell in found.at(m, count)) / len(found.at(m, count))
        mark = (" *" if found.kept_start(m, count) else "") + (" ←" if m == found.winner(count) else "")
        lines.append(f'<tr><th scope="row">{escape(found.labels[m])}{mark}</th>{cells}<td>{seconds:.2f}</td></tr>')
    return (
        f'{SCROLL}"Results at {count} pairs"><table><thead><tr><td></td>{top}<td></td></tr>'
        f'<tr><th scope="col">method</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _half(value: Interval, key: str) -> str:
    if not math.isfinite(value.half) or "/" in key.removeprefix("mean/") or key.endswith("rank"):
        return ""
    return f" <small>± {100 * value.half:.1f}</small>"


def _signed(value: Interval, higher_is_better: bool) -> str:
    text = f"{100 * value.mean:+.1f}"
    if not math.isfinite(value.half):
        return text
    clear = abs(value.mean) > value.half
    good = (value.mean > 0) == higher_is_better
    kind = f' class="{"hit" if good else "miss"}"' if clear else ""
    return f"<span{kind}>{text} <small>± {100 * value.half:.1f}</small></span>"


def _settings(found: Comparison) -> str:
    lines = []
    for m, label in found.labels.items():
        chosen: dict[str, int] = {}
        for cell in found.cells:
            if cell.method == m and not cell.error:
                words = ", ".join(f"{key}={value}" for key, value in cell.setting.items()) or "default"
                chosen[words] = chosen.get(words, 0) + 1
        if chosen:
            text = "; ".join(f"{words} ({times})" for words, times in sorted(chosen.items(), key=lambda item: -item[1]))
            lines.append(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>")
    return f'<p class="quiet">How many of the cells chose each.</p><dl>{"".join(lines)}</dl>' if lines else ""


def _failures(found: Comparison) -> str:
    words: dict[tuple[str, str], int] = {}
    for cell in found.failures:
        words[found.labels[cell.method], cell.error] = words.get((found.labels[cell.method], cell.error), 0) + 1
    items = "".join(f"<li>{escape(label)}, {times} cells: {escape(error)}</li>" for (label, error), times in words.items())
    return f'<ul class="notes">{items}</ul>' if items else ""


def _made(found: Comparison) -> str:
    info = found.info
    rows: Sequence[tuple[str, str]] = (
        ("command", info.get("command", "")),
        (
            "split",
            f"{info.get('split', '')}, drawn anew by each of {len(found.seeds)} seeds, which also draw known pairs and starts",
        ),
        (
            "unpaired rows",
            f"{info.get('unpaired', '')}; training rows at {found.counts[0]:,} pairs: "
            + ", ".join(f"{name} {n:,}" for name, n in info.get("pool", {}).items()),
        ),
        (
            "galleries",
            f"{' and '.join(map(str, info.get('test', ())))} test rows of {info.get('data', {}).get('items', '')} items; "
            f"{info.get('val', '')} items validate",
        ),
        ("pairs by", f"{info.get('data', {}).get('paired_by', '')}; {info.get('data', {}).get('meet', '')} items have both rows"),
        ("selection", info.get("rule", "")),
        (
            "hub corrections",
            f"{'; '.join(CORRECTIONS.values())}. CSLS over {NEIGHBOURS} neighbours; the inverted softmax at {TEMPERATURE:g} "
            f"standard deviations of the training scores; at most {REFERENCE_ROWS:,} training rows a side",
        ),
        ("intervals", "Student's t over seeds, paired for differences"),
        (
            "time",
            f"{duration(info.get('seconds', 0))} with {info.get('jobs', 1)} processes (cells that were remembered cost nothing)",
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items())),
    )
    return f"<dl>{''.join(f'<dt>{escape(a)}</dt><dd>{escape(b)}</dd>' for a, b in rows)}</dl>"
