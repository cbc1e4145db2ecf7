"""Which cell of a row is the best, among those that may be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from evaluation.report.cells import Cell, Part, Setting

_COMPARED = ("metric", "scale", "judge", "tokenizer", "computed by")


def setting_of(parts: Sequence[Part]) -> Setting:
    """What the figures of some parts hang on."""
    measured = sorted(
        (
            each.dataset,
            each.metric,
            each.scale,
            each.judge,
            each.tokenizer,
            each.signature,
            part.n,
            each.whole,
        )
        for part in parts
        for each in (part.result,)
    )
    return Setting(all(part.result.whole for part in parts), sum(part.n for part in parts), tuple(measured))


def ranked(cells: Sequence[Cell], end_to_end: Collection[str], lower: bool) -> list[Cell]:
    """The cells of one measure and one source with their marks: the best, and the best end-to-end system.

    Values decide, not what is printed of them: the paper's LibriSpeech row prints 0.03 three times and
    marks two. Cells of exactly the same value are all marked. A cell measured unlike most (another judge,
    another tokenizer, another number of clips) says so in a note and is left out, and one cell alone is the
    best of nothing.
    """
    usual = _usual(cells)
    rivals = {
        cell.system: cell.value
        for cell in cells
        if cell.value is not None and cell.setting == usual and usual
    }
    if len(rivals) < 2:
        return [_noted(cell, usual) for cell in cells]
    choose = min if lower else max
    best = choose(rivals.values())
    best_of_one = choose((value for name, value in rivals.items() if name in end_to_end), default=None)
    return [
        replace(
            cell,
            best=cell.value == best,
            best_end_to_end=cell.value == best_of_one and cell.system in end_to_end,
        )
        if cell.system in rivals
        else _noted(cell, usual)
        for cell in cells
    ]


def _usual(cells: Sequence[Cell]) -> Setting | None:
    """How most cells of a row were measured; None where no way has the most: then nothing is ranked.

    Between ways of as many cells, one over whole data sets goes before one over a part of them.
    """
    counts = Counter(cell.setting for cell in cells if cell.setting and cell.value is not None)
    ranks = {way: (count, way.whole) for way, count in counts.items()}
    top = max(ranks.values(), default=None)
    usual = [way for way, rank in ranks.items() if rank == top]
    return usual[0] if len(usual) == 1 else None


def _noted(cell: Cell, usual: Setting | None) -> Cell:
    if cell.setting is None or cell.value is None or cell.setting == usual:
        return cell
    why = (
        "; ".join(_differences(cell.setting, usual))
        if usual
        else "the systems were measured in ways that do not compare"
    )
    return replace(cell, notes=(*cell.notes, f"Not ranked: {why}."))


def _differences(ours: Setting, usual: Setting) -> list[str]:
    """In what one setting differs from another, in words."""
    found = []
    for place, name in enumerate(_COMPARED, 1):
        here, there = ({str(row[place] or "none") for row in setting.measured} for setting in (ours, usual))
        if here != there:
            found.append(
                f"{name} {' and '.join(sorted(here))}, where others have {' and '.join(sorted(there))}"
            )
    if ours.n != usual.n:
        found.append(f"{ours.n:,} clips, where others have {usual.n:,}")
    if ours.whole != usual.whole:
        found.append("others have the whole data" if usual.whole else "others have a part of the data")
    return found or ["its parts have other numbers of clips than those of others"]
