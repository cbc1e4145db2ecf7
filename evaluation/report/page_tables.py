"""The tables of the page as HTML, with a bar for every figure. They need no script; all text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evaluation.report.cells import OURS, SOURCES, Cell, Column, Measure, Table
from evaluation.report.written_tables import LEGEND, MEASURED_HEAD

_FULL = 100.0  # of all that is not an error rate
_SHOWN = 12  # rows of "How ours were measured" that are shown without asking


class Html(str):
    """What is HTML already; any other text is escaped by `tag`."""

    __slots__ = ()


def tag(name: str, *inside: str, **attributes: str | int) -> Html:
    """An element. `class_` is the attribute class, `aria_label` is aria-label; empty ones are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value
    )
    return Html(f"<{name}{given}>{joined(*inside)}</{name}>")


def joined(*parts: str) -> Html:
    """Some texts and elements, one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def section(table: Table) -> Html:
    """A table with its bars and its notes."""
    notes = joined()
    if table.notes:
        items = [tag("li", note, id=_note(table, number)) for number, note in enumerate(table.notes, 1)]
        notes = tag("details", tag("summary", f"Notes ({len(items)})"), tag("ol", *items, class_="notes"))
    return _section(
        f"table-{table.number}",
        table.name,
        _bars(table),
        _scrolled(f"{table.name}, all figures", _grid(table)),
        tag("p", LEGEND, class_="quiet"),
        notes,
    )


def measured_section(rows: Sequence[Sequence[str]], addresses: Sequence[str]) -> Html:
    """How each result of ours was measured, a row of MEASURED_HEAD each, with the address of its clips."""
    head = tag("tr", *(tag("th", each, scope="col") for each in MEASURED_HEAD))
    body = [
        tag(
            "tr",
            tag("th", system, scope="row"),
            tag("td", tag("a", dataset, href=address), class_="words"),
            *(tag("td", each) for each in further),
        )
        for (system, dataset, *further), address in zip(rows, addresses, strict=True)
    ]
    table = _scrolled("All results of ours", tag("table", tag("thead", head), tag("tbody", *body)))
    if len(rows) > _SHOWN:
        table = tag("details", tag("summary", f"All {len(rows)} results"), table)
    return _section("measured", "How ours were measured", table)


def _section(name: str, title: str, *inside: str) -> Html:
    return tag(
        "section", tag("h2", title, id=f"{name}-title"), *inside, id=name, aria_labelledby=f"{name}-title"
    )


def _scrolled(label: str, table: Html) -> Html:
    return tag("div", table, class_="scroll", role="region", tabindex="0", aria_label=label)


def _grid(table: Table) -> Html:
    head, rows = _systems_as_rows(table) if table.systems_are_rows else _systems_as_columns(table)
    return tag("table", tag("thead", *head), tag("tbody", *rows))


def _systems_as_rows(table: Table) -> tuple[list[Html], list[Html]]:
    names = [tag("th", f"{each.label} {each.arrow}", scope="col") for each in table.measures]
    head = [tag("th", "Model", scope="col"), tag("th", "Source", scope="col", class_="words"), *names]
    rows, last = [], ""
    for column, source in table.lines:
        name = joined()
        if column.id != last:  # once for all sources of a system
            name = tag("th", column.title, scope="rowgroup", rowspan=_sources(table, column))
        last = column.id
        cells = [_cell(table, measure, column, source) for measure in table.measures]
        rows.append(
            tag("tr", name, tag("td", source, class_="words"), *cells, class_="first" if name else "")
        )
    return [tag("tr", *head)], rows


def _sources(table: Table, column: Column) -> int:
    return sum(column == each for each, _ in table.lines)


def _systems_as_columns(table: Table) -> tuple[list[Html], list[Html]]:
    counts = [(column, _sources(table, column)) for column in table.systems]
    names = [tag("th", column.title, scope="colgroup", colspan=count) for column, count in counts if count]
    sources = [tag("th", source, scope="col") for _, source in table.lines]
    rows, heading = [], ""
    for measure in table.measures:
        if measure.section != heading:
            heading = measure.section
            words = f"{heading} ({measure.arrow})"
            rows.append(
                tag("tr", tag("th", words, scope="rowgroup", colspan=len(table.lines) + 1), class_="section")
            )
        label = measure.label if heading else f"{measure.label} {measure.arrow}"
        cells = [_cell(table, measure, column, source) for column, source in table.lines]
        rows.append(tag("tr", tag("th", label, scope="row"), *cells))
    return [tag("tr", tag("th", "Data set", scope="col", rowspan=2), *names), tag("tr", *sources)], rows


def _cell(table: Table, measure: Measure, column: Column, source: str) -> Html:
    cell = table.cells.get((measure, column.id, source))
    if cell is None:
        return tag("td", tag("span", "–", aria_hidden="true"), tag("span", "no figure", class_="unseen"))
    words = joined(cell.printed)
    if cell.best_end_to_end:
        words = tag("b", words, tag("span", " (best end-to-end)", class_="unseen"))
    if cell.best:
        words = tag("u", words, tag("span", " (best)", class_="unseen"))
    if cell.notes:
        words = joined(words, tag("sup", *(_to_note(table, note) for note in cell.notes)))
    if cell.interval:
        words = joined(words, " ", tag("small", cell.interval))
    return tag("td", words, class_="ours" if source == OURS else "")


def _to_note(table: Table, note: str) -> Html:
    number = table.notes.index(note) + 1
    words = tag("span", " note ", class_="unseen")
    return tag("a", words, str(number), href=f"#{_note(table, number)}", title=note)


def _note(table: Table, number: int) -> str:
    return f"table-{table.number}-note-{number}"


def _bars(table: Table) -> Html:
    """A bar a figure, of the measures that have any of ours; of all of them if none has."""
    ours = {measure for measure, _, source in table.cells if source == OURS}
    legend = [tag("li", _bar(source, 100), words) for source, words in SOURCES.items()]
    shown = [_measure(table, each) for each in table.measures if each in ours or not ours]
    return joined(tag("ul", *legend, class_="legend"), tag("div", *shown, class_="measures"))


def _measure(table: Table, measure: Measure) -> Html:
    there = [
        (column, cell)
        for column in table.systems
        for source in SOURCES
        if (cell := table.cells.get((measure, column.id, source)))
    ]
    top = _FULL
    if measure.lower:
        top = max([cell.high or cell.value or 0.0 for _, cell in there], default=0.0) or 1.0
    better = tag("small", f" {'lower' if measure.lower else 'higher'} is better", class_="quiet")
    rows, last = [], ""
    for column, cell in there:
        rows.append(_row(column, cell, top, is_first=column.id != last))
        last = column.id
    return tag("div", tag("h3", measure.label, better), tag("ul", *rows), class_="measure")


def _row(column: Column, cell: Cell, top: float, is_first: bool) -> Html:
    name = tag("span", tag("bdi", column.title), class_="" if is_first else "unseen")
    source = tag("small", cell.source)
    value = joined(tag("b", cell.printed) if cell.source == OURS else cell.printed)
    if cell.interval:
        value = joined(value, " ", tag("small", cell.interval))
    ends = () if cell.low is None or cell.high is None else (100 * cell.low / top, 100 * cell.high / top)
    bar = _bar(cell.source, 100 * (cell.value or 0.0) / top, *ends)
    return tag(
        "li", name, source, bar, tag("span", value, class_="value"), class_="first" if is_first else ""
    )


def _bar(source: str, length: float, *ends: float) -> Html:
    """A bar of so many hundredths of its track, with a line between the ends of its interval."""
    width, *stops = (f"{min(100.0, max(0.0, each)):.2f}" for each in (length, *ends))
    lines = [f"M{stops[0]} 7H{stops[1]}", *(f"M{stop} 3V11" for stop in stops)] if stops else []
    return tag(
        "svg",
        tag("rect", class_="track", width=100, height=14),
        tag("rect", class_=f"bar {source}", width=width, y=2, height=10),
        *(tag("path", class_="whisker", d=line) for line in lines),
        aria_hidden="true",
        viewBox="0 0 100 14",
        preserveAspectRatio="none",
    )
