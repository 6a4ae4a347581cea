"""What a comparison found, in sentences, commands and a table for the terminal."""

from __future__ import annotations

import math
import shlex

from gera_jax.comparison.outcome import POINTS, Comparison, Interval

EASY = 0.9  # R@10 of guessing, from which R@10 says nothing: a gallery of few rows


def headline(found: Comparison) -> str:
    """What to use, how good it is, and whether the lead over the best published baseline is more than noise."""
    top, last = found.recommended, found.counts[-1]
    if not top:
        return found.reason
    key, where, chance = "mean/R@10", "among its first ten", found.chance(last, "mean/R@10")
    if chance and chance.mean > EASY:
        key, where, chance = "mean/R@1", "first", found.chance(last, "mean/R@1")
    at = found.mean(top, last, key)
    text = f"With {last:,} known pairs, {found.labels[top]} finds the true match {where} for {100 * at.mean:.1f}%"
    items = found.info.get("data", {}).get("items", found.gallery)
    text += f" of {items:,} test items" + (f" (± {100 * at.half:.1f})" if math.isfinite(at.half) else "")
    text += f"; guessing would for {100 * chance.mean:.1f}%." if chance else "."
    lead = next((d for d in found.differences(last) if d.method == top), None)
    if lead is not None:
        by = lead.values[key]
        text += f" {100 * by.mean:+.1f} points against {found.labels[lead.reference]}, the best published method here"
        if math.isfinite(by.half):
            size = "more" if abs(by.mean) > by.half else "no more"
            text += f" (± {100 * by.half:.1f}: {size} than the noise of {len(found.seeds)} seeds)"
        text += "."
    return text


def worth(found: Comparison) -> str:
    """What the recommended method's pairs are worth in another method's pairs; "" where that is not known."""
    other, factors = found.worth(found.recommended) if found.recommended else ("", [])
    if not factors:
        return ""
    said = []
    for at in factors:
        interval = f" ({at.low:.2f} to {at.high:.2f})" if math.isfinite(at.low) else ""
        said.append(f"{'at least ' if at.beyond else ''}{at.factor:.2f}{interval} at {at.pairs:,}")
    own, factors_said = found.labels[found.recommended], "; ".join(said)
    return f"For the same R@10, {found.labels[other]} needs this many times the pairs of {own}: {factors_said}."


def next_steps(found: Comparison) -> list[tuple[str, str]]:
    """What to do next: (what it does, the command)."""
    flags, steps = found.info.get("flags", ""), []
    given = shlex.split(flags)
    if found.recommended and found.info.get("train"):
        steps.append((f"Fit {found.labels[found.recommended]} on every pair and unpaired row.", found.info["train"]))
        if "--x" in given:
            file = shlex.quote(given[given.index("--x") + 1])
            project = f"gera-jax embed winner --x {file} --output z.npy"
            steps.append((f"Map rows of {found.names[0]}, here those of the comparison, into the shared space.", project))
    if flags and found.info.get("preset"):
        steps.append(
            (
                "Compare all methods on the same data; the command first says how long it takes.",
                f"gera-jax compare {flags} --output comparison",
            )
        )
    if flags and "--x" not in given:
        own = "gera-jax compare --x X.npy --y Y.npy --quick --output mine"
        steps.append(
            ("Compare on your own embeddings. Rows with equal ids are pairs; files without ids are paired row by row.", own)
        )
    return steps


def notes(found: Comparison, count: int) -> list[str]:
    """What has to be said beside the numbers at a count: what guessing scores, and which methods kept their start."""
    known = [chance for key in POINTS if (chance := found.chance(count, key))]
    words = [f"{c.key.removeprefix('mean/').upper()} {100 * c.mean:.1f} (by luck {100 * c.luck:.1f})" for c in known]
    said = [f"Guessing scores {', '.join(words)}."] if words else []
    return said + [f"* {found.start_note(m, count)}." for m in found.labels if found.kept_start(m, count)]


def text(found: Comparison) -> str:
    """The comparison for a terminal: a block for each number of pairs, in per cent, and what to do next."""
    lines = []
    for count in found.counts:
        reference = found.reference(count)
        differences = {d.method: d.values for d in found.differences(count)}
        beside = f"R@10 minus {found.labels[reference]}" if reference else ""
        lines.append(f"{f'{count:,} pairs':<36}   R@1   R@10  FOSCTTM  CSLS R@10   CPU s   {beside}".rstrip())
        for name, label in found.labels.items():
            cells = found.at(name, count)
            if not cells:
                lines.append(f"  {label:<34} failed")
                continue
            r1, r10, foscttm, csls = (found.mean(name, count, k).mean for k in (*POINTS, "csls/mean/R@10"))
            minus = points(differences[name]["mean/R@10"]) if name in differences else "reference" if name == reference else ""
            mark = (" *" if found.kept_start(name, count) else "") + (" <-" if name == found.winner(count) else "")
            seconds = sum(c.cpu_seconds for c in cells) / len(cells)
            numbers = f"{100 * r1:5.1f}  {100 * r10:5.1f}  {100 * foscttm:7.1f}  {100 * csls:9.1f}  {seconds:6.1f}"
            lines.append(f"  {label + mark:<34} {numbers}   {minus}".rstrip())
        lines += [f"  {note}" for note in notes(found, count)] + [""]
    lines.append(f"{headline(found)} {found.why}" if found.recommended else found.reason)
    if of := worth(found):
        lines.append(of)
    for pairs, expected in found.more_pairs():
        if pairs > found.counts[-1]:
            at = expected["mean/R@1"]
            more = f"With {pairs - found.counts[-1]:,} more pairs its R@1 would be"
            lines.append(f"{more} {100 * at.run_low:.1f} to {100 * at.run_high:.1f}% ({100 * at.mean:.1f}).")
    for words, command in next_steps(found):
        lines += ["", words, f"  {command}"]
    return "\n".join(lines)


def points(value: Interval) -> str:
    """A difference in points, with half its interval where there is one.

    >>> points(Interval(0.0123, 0.004)), points(Interval(-0.02, float("nan")))
    ('+1.2 ± 0.4', '-2.0')
    """
    return f"{100 * value.mean:+.1f}" + (f" ± {100 * value.half:.1f}" if math.isfinite(value.half) else "")
