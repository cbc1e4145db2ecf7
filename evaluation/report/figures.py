"""The figure of a cell: ours, averaged where the paper averages; the paper's and its logs' as published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from evaluation.core import Result
from evaluation.published import Figure
from evaluation.registry import Dataset
from evaluation.report.cells import Cell, Measure, Part, Setting
from evaluation.report.ranking import setting_of

PAPER_JUDGE = "llama-3-70b-instruct"  # part of the name of the judge behind the paper and its logs
_PUBLISHED = Setting(True, 0, ())  # of one judge, one tokenizer, and whole data sets

Groups = Mapping[
    tuple[str, str], Mapping[str, Part]
]  # by system and data set: what the clips of each group give


def unit(measure: Measure, table: int) -> float:
    """By what a value of result.json is multiplied: WER, a fraction there, is per cent but in Table 3."""
    return 100.0 if measure.family == "wer" and table != 3 else 1.0


def decimals(measure: Measure, table: int) -> int:
    """As the paper prints them."""
    return 2 if measure.family == "wer" and table == 3 else 1


def part_of(result: Result, group: str, groups: Groups) -> Part | None:
    """What a result gives to a measure of all its clips, or of one group."""
    if not group:
        return Part(result, result.value, result.low, result.high, result.n, result.success_rate)
    if found := groups.get((result.system, result.dataset), {}).get(group):
        return found
    if group in result.groups:
        return Part(result, result.groups[group], None, None, 0, None)
    return None


def ours(table: int, measure: Measure, parts: Sequence[Part], expected: Sequence[Dataset]) -> Cell:
    """A cell of our own runs: the mean of its parts, or why there is none."""
    results = [part.result for part in parts]
    judges = sorted({result.judge for result in results})
    lacking = [row for row in expected if row.id not in {result.dataset for result in results}]
    value, low, high, success = combined(parts)
    factor, places = unit(measure, table), decimals(measure, table)
    each = "; ".join(f"{part.result.dataset} {part.value * factor:.{places}f}" for part in parts)
    printed, notes = f"{value * factor:.{places}f}", _notes(table, parts, expected)
    whole: float | None = value * factor
    if lacking:
        printed, whole = f"{len(parts)} of {len(expected)} parts", None
        names = _listed([row.id for row in lacking])
        notes = [f"Not averaged or ranked without {names}. There is {each}.", *notes]
    elif len(judges) > 1:
        printed, whole = "two judges" if len(judges) == 2 else f"{len(judges)} judges", None
        notes = [f"Not averaged or ranked: its judges are {_listed(judges)}. There is {each}.", *notes]
    known = whole is not None
    return Cell(
        system=results[0].system,
        source="ours",
        value=whole,
        printed=printed,
        low=low * factor if known and low is not None else None,
        high=high * factor if known and high is not None else None,
        n=sum(part.n for part in parts),
        success_rate=success,
        judge=", ".join(filter(None, judges)),
        tokenizer=", ".join(sorted({result.tokenizer for result in results} - {""})),
        notes=tuple(notes),
        setting=setting_of(parts) if known else None,
        parts=tuple(parts),
    )


def told(source: str, system: str, figure: Figure) -> Cell:
    """A cell of the paper, marked as printed there, or of its logs."""
    return Cell(
        system=system,
        source=source,
        value=figure.value,
        printed=figure.printed,
        best=figure.best,
        best_end_to_end=figure.best_end_to_end,
        notes=(figure.note,) if figure.note else (),
        setting=_PUBLISHED,
    )


def combined(parts: Sequence[Part]) -> tuple[float, float | None, float | None, float | None]:
    """Value, low, high and success rate of some parts: the unweighted mean over data sets, as in the paper.

    The distances from the value to low and to high are combined in quadrature: the clips of one data set
    are drawn independently of another's, so the variance of a mean of k of them is the sum of theirs over k
    squared. That needs no clips, so a table can be built of result.json files alone; resampling the clips
    of every data set gives the same within its own noise. The success rate is that of all clips together.
    """
    count, clips = len(parts), sum(part.n for part in parts)
    value = math.fsum(part.value for part in parts) / count
    rates = [part.success_rate * part.n for part in parts if part.success_rate is not None]
    success = math.fsum(rates) / clips if clips and len(rates) == count else None
    below = [part.value - part.low for part in parts if part.low is not None]
    above = [part.high - part.value for part in parts if part.high is not None]
    if len(below) < count or len(above) < count:
        return value, None, None, success
    return value, value - math.hypot(*below) / count, value + math.hypot(*above) / count, success


def _notes(table: int, parts: Sequence[Part], expected: Sequence[Dataset]) -> list[str]:
    """Where a cell was not measured as the paper's was, a sentence a way."""
    rows = {row.id: row for row in expected}
    said: dict[str, list[str]] = {}  # the data sets of each sentence
    for part in parts:
        result, row = part.result, rows[part.result.dataset]
        for words in _differences(table, result, row):
            said.setdefault(words, []).append(row.id)
    one = len(expected) == 1
    found = [words if one else f"{words[:-1]}, in {_listed(names)}." for words, names in said.items()]
    lost = sum((1 - part.result.success_rate) * part.result.n for part in parts)
    if lost:
        share = lost / sum(part.result.n for part in parts)
        found.append(f"{share:.1%} of the clips have no answer or no rating, and count as wrong.")
    return found


def _differences(table: int, result: Result, row: Dataset) -> list[str]:
    found = []
    if not result.whole:
        found.append(f"A part of the data: {result.n:,}{f' of {row.n:,}' if row.n else ''} clips.")
    elif row.n and result.n != row.n:
        found.append(f"{result.n:,} clips, where {row.n:,} were expected.")
    if result.tokenizer != row.tokenizer:
        found.append(f"Tokenizer {result.tokenizer or 'not named'}, where the paper has {row.tokenizer}.")
    if table and result.metric == "judge" and PAPER_JUDGE not in result.judge.casefold():
        found.append(f"Judge {result.judge or 'not named'}, where the paper has Llama-3-70B-Instruct.")
    return found


def _listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
