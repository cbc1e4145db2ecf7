"""The bench's report in Markdown, the paper's Table 1 beside what was measured."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.report import machine, processors, table
from benchmarks.table1.figures import Cell, Spread, Timing
from benchmarks.table1.second_ask import SecondAsk

# (seconds of audio, at once): mean TTFT, mean ITL in ms; MERaLiON-AudioLLM in vLLM, one H100, 120 trials.
PAPER = {
    (30, 1): (85.8, 9.9),
    (30, 4): (96.9, 11.4),
    (30, 8): (109.6, 13.0),
    (30, 16): (149.9, 16.3),
    (60, 1): (126.4, 9.6),
    (60, 4): (159.6, 11.1),
    (60, 8): (206.5, 12.7),
    (60, 16): (236.7, 16.2),
    (120, 1): (214.5, 9.7),
    (120, 4): (258.1, 11.2),
    (120, 8): (261.9, 13.0),
    (120, 16): (299.0, 16.8),
}
NONE = "–"
CROWDED = 1.02  # tokens a chunk from which on it is worth a word


@dataclass
class Run:
    """Everything that was measured, as far as it came."""

    cells: list[Cell] = field(default_factory=list)
    alone: dict[float, list[Timing]] = field(default_factory=dict)  # transformers, by seconds of audio
    twice: list[SecondAsk] = field(default_factory=list)
    cache: Counter[str] | None = None  # how far vLLM's counters rose over the cells
    stopped: bool = False  # before its end

    @property
    def failed(self) -> int:
        """Requests that got no whole answer."""
        failures = [cell.failures for cell in self.cells] + [asks.failures for asks in self.twice]
        return sum(counts.total() for counts in failures)


def write(run: Run, title: str, command: str, notes: list[str], versions: str) -> str:
    """The whole report."""
    lines = [f"# {title}", "", f"    {command}", ""]
    if run.stopped:
        lines += ["**Stopped before its end; this is what there was.**", ""]
    lines += [" ".join([*notes, *_counting(run.cells), *_cache_note(run.cache)]), ""]
    lines += _beside_the_paper(run.cells) + _spread(run.cells)
    if run.alone:
        lines += _beside_transformers(run)
    if run.twice:
        lines += _second_question(run.twice)
    lines += _failures(run)
    lines += [". ".join(part for part in (processors(), versions, machine()) if part), ""]
    return "\n".join(lines)


def _beside_the_paper(cells: list[Cell]) -> list[str]:
    head = ["audio", "at once", "TTFT, ms", "the paper's", "ITL, ms", "the paper's", "tokens/s"]
    rows = []
    for cell in cells:
        paper = PAPER.get((round(cell.seconds), cell.concurrency))
        ttft, itl = (f"{value:.1f}" for value in paper) if paper else (NONE, NONE)
        row = [_audio(cell.seconds), str(cell.concurrency), ms(cell.ttft.mean), ttft, ms(cell.itl.mean), itl]
        rows.append([*row, f"{cell.tokens_per_second:.1f}"])
    return [
        "Means over requests. The paper's are of the 10B model on one H100.",
        "",
        *table(head, rows),
        "",
    ]


def _spread(cells: list[Cell]) -> list[str]:
    head = ["audio", "at once", "answered", "failed", "TTFT p50", "p95", "p99"]
    head += ["ITL p50", "p95", "p99", "gap mean", "median", "p95", "p99", "end to end p50", "p99"]
    rows = []
    for cell in cells:
        spreads = (cell.ttft, cell.itl, cell.gaps, cell.end_to_end)
        ttft, itl, gaps, whole = ([ms(value) for value in (s.mean, s.p50, s.p95, s.p99)] for s in spreads)
        counts = [f"{len(cell.timings)} of {cell.trials}", str(cell.failures.total())]
        row = [_audio(cell.seconds), str(cell.concurrency), *counts, *ttft[1:], *itl[1:], *gaps]
        rows.append([*row, whole[1], whole[3]])
    return [
        "In ms. ITL is (last - first) / (tokens - 1) of a request; a gap is between two chunks of a stream.",
        "",
        *table(head, rows),
        "",
    ]


def _beside_transformers(run: Run) -> list[str]:
    head = ["audio", "at once", "tokens/s", "transformers, one by one", "times"]
    head += ["transformers' TTFT, ms", "its ITL, ms", "its clips"]
    rows = []
    for cell in run.cells:
        timings = run.alone.get(cell.seconds)
        if not timings:
            continue
        alone = Cell(cell.seconds, 1, len(timings), cell.tokens_wanted, timings)
        rate = alone.tokens / sum(timing.end_to_end for timing in timings)
        row = [_audio(cell.seconds), str(cell.concurrency), f"{cell.tokens_per_second:.1f}", f"{rate:.1f}"]
        row += [f"{cell.tokens_per_second / rate:.1f}x", ms(alone.ttft.mean), ms(alone.itl.mean)]
        rows.append([*row, str(len(timings))])
    return ["transformers' own `generate` on the same clips, in the same run.", "", *table(head, rows), ""]


def _second_question(twice: list[SecondAsk]) -> list[str]:
    head = ["audio", "pairs", "first TTFT p50, ms", "second", "second / first"]
    head += ["clips from the cache, first", "second", "prompt tokens from the cache, first", "second"]
    rows = []
    for asks in twice:
        first, second = Spread.of(asks.first).p50, Spread.of(asks.second).p50
        row = [_audio(asks.seconds), str(len(asks.first)), ms(first), ms(second), _ratio(second, first)]
        for cache in ("mm_cache", "prefix_cache"):
            row += [_hits(asks.first_hits, cache), _hits(asks.second_hits, cache)]
        rows.append(row)
    return [
        "The same clip asked about again, with another question, one at a time.",
        "",
        *table(head, rows),
        "",
    ]


def _failures(run: Run) -> list[str]:
    lines = []
    for cell in run.cells:
        for reason, count in cell.failures.most_common():
            lines.append(f"- {_audio(cell.seconds)}, {cell.concurrency} at once: {count} x {reason}")
    for asks in run.twice:
        for reason, count in asks.failures.most_common():
            lines.append(f"- {_audio(asks.seconds)}, asked twice: {count} x {reason}")
    return ["Failed:", "", *lines, ""] if lines else []


def _counting(cells: list[Cell]) -> list[str]:
    """How tokens were counted, and what came out shorter than asked."""
    timings = [timing for cell in cells for timing in cell.timings]
    if not timings:
        return []
    ways = sorted({timing.counted for timing in timings})
    notes = [f"Tokens of an answer are its usage's; those of a chunk are told by {' and '.join(ways)}."]
    per_chunk = sum(timing.tokens for timing in timings) / sum(len(timing.chunks) for timing in timings)
    if per_chunk > CROWDED:
        notes.append(f"A chunk held {per_chunk:.2f} tokens on average, so ITL and gap differ.")
    if short := sum(cell.cut_short for cell in cells):
        shortest = min(timing.tokens for timing in timings)
        notes.append(
            f"{short} of {len(timings)} answers were shorter than asked; the shortest had {shortest} tokens."
        )
    return notes


def _cache_note(cache: Counter[str] | None) -> list[str]:
    if cache is None:
        return []
    clips, tokens = _hits(cache, "mm_cache"), _hits(cache, "prefix_cache")
    return [f"Over all cells vLLM's caches gave {clips} clips and {tokens} prompt tokens."]


def _hits(counts: Counter[str], cache: str) -> str:
    """Hits of queries; a dash where the server does not count."""
    if f"{cache}_queries" not in counts and f"{cache}_hits" not in counts:
        return NONE
    return f"{counts[f'{cache}_hits']:,} of {counts[f'{cache}_queries']:,}"


def _ratio(value: float, base: float) -> str:
    return NONE if math.isnan(value) or math.isnan(base) else f"{value / base:.2f}"


def ms(seconds: float) -> str:
    """A time in ms, as the paper writes it; a dash where there is none."""
    return NONE if math.isnan(seconds) else f"{seconds * 1000:.1f}"


def _audio(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 or seconds % 60 else f"{seconds / 60:g} min"
