"""The tables of `benchmarks/gateway.py`, and which bars were met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.load import rows
from benchmarks.load.gateways import DIRECT, OURS, VLLM_ROUTER
from benchmarks.load.rows import Row, Taken
from benchmarks.report import table

Results = Mapping[str, Mapping[str, Taken]]  # by row, then by gateway
ONE_BY_ONE = (rows.TEXT, rows.CLIP, rows.GREEDY_CLIP, rows.BY_REFERENCE, rows.LONG_CLIP)
AT_ONCE = (rows.MANY_TEXTS, rows.MANY_CLIPS, rows.SLOW_TEXTS)
KEPT = (rows.HIT, rows.HIT_BY_REFERENCE)
MOST_IDLE_MB, LEAST_TEXTS, MOST_HIT_MS, MOST_HIT_BY_REFERENCE_MS = 150, 750, 5.0, 2.0
MOST_BY_REFERENCE_MS = 1.0  # more than directly with the clip inline


def tables(results: Results, idle_mb: Mapping[str, float]) -> Iterator[str]:
    """Yield the lines of the document."""
    names = list(idle_mb)
    yield from (
        "## One at a time",
        "",
        "First token in ms, median; how many times direct; CPU ms a request.",
        "",
    )
    yield from table(
        ["", *names], [[row.name, *(_one(results, row, name) for name in names)] for row in ONE_BY_ONE]
    )
    yield from ("", "## Many at once", "", "CPU is the gateway's own, with its children's.", "")
    head = ["", "gateway", "requests/s", "first token p50, ms", "p95, ms", "CPU ms a request", "cores busy"]
    yield from table(head, [line for row in AT_ONCE for line in _many(results, row)])
    yield from ("", "## Asked before, or at the same time", "")
    head = ["", "gateway", "first token p50, ms", "p95, ms", "calls to the engines a round", "streamed live"]
    yield from table(head, [line for row in (*KEPT, rows.IDENTICAL) for line in _shared(results, row)])
    yield from ("", "## Memory when idle", "", "PSS of the process and its children.", "")
    yield from table(["gateway", "MB"], [[name, f"{idle_mb[name]:.0f}"] for name in names if idle_mb[name]])
    yield from ("", "## Bars", "")
    yield from table(["bar", "measured", ""], list(bars(results, idle_mb)))
    wrong = [
        f"{row}, {name}: {dict(taken.wrong)}"
        for row, all_taken in results.items()
        for name, taken in all_taken.items()
        if taken.wrong
    ]
    yield from ("", "Wrong or broken answers: " + ("; ".join(wrong) or "none") + ".", "")


def bars(results: Results, idle_mb: Mapping[str, float]) -> Iterator[list[str]]:
    """Yield every bar that could be measured: what it is, what came of it, and whether it was met."""

    def taken(row: Row, name: str = OURS) -> Taken | None:
        return results.get(row.name, {}).get(name)

    def bar(what: str, measured: str, met: bool) -> list[str]:
        return [what, measured, "ok" if met else "NOT MET"]

    ours, direct, router = (taken(rows.CLIP, name) for name in (OURS, DIRECT, VLLM_ROUTER))
    if ours and direct and router:
        mine, theirs = ours.first - direct.first, router.first - direct.first
        what = "30 s inline: added time to first token no more than vllm-router's"
        yield bar(what, f"{mine:.2f} ms, vllm-router {theirs:.2f} ms", mine <= theirs)
    if (ours := taken(rows.BY_REFERENCE)) and direct:
        more = ours.first - direct.first
        what = f"30 s by reference: first token within {MOST_BY_REFERENCE_MS:g} ms of direct inline"
        yield bar(what, f"{more:+.2f} ms", more <= MOST_BY_REFERENCE_MS)
    ours, router = taken(rows.MANY_CLIPS), taken(rows.MANY_CLIPS, VLLM_ROUTER)
    if ours and router:
        what = "30 s, 16 at once: at least half of vllm-router's requests/s on one core's worth"
        per_core = ours.per_second / max(ours.cores, 1.0)
        said = f"{ours.per_second:.0f}/s on {ours.cores:.2f} cores, vllm-router {router.per_second:.0f}/s"
        yield bar(what, f"{said} on {router.cores:.2f}", per_core >= router.per_second / 2)
        what = "30 s, 16 at once: p95 no more than twice vllm-router's"
        yield bar(what, f"{ours.p95:.1f} ms, vllm-router {router.p95:.1f} ms", ours.p95 <= 2 * router.p95)
    if ours := taken(rows.MANY_TEXTS):
        what = f"text, 32 at once: at least {LEAST_TEXTS} requests/s"
        yield bar(what, f"{ours.per_second:.0f}/s", ours.per_second >= LEAST_TEXTS)
    for row, most in zip(KEPT, (MOST_HIT_MS, MOST_HIT_BY_REFERENCE_MS), strict=True):
        if ours := taken(row):
            yield bar(f"{row.name}: within {most:g} ms", f"{ours.first:.2f} ms", ours.first <= most)
    if ours := taken(rows.IDENTICAL):
        what = "16 identical at once: one call to the engines, all 16 streamed live"
        met = set(ours.calls) == {1} and set(ours.live) == {rows.IDENTICAL.cell.at_once}
        yield bar(what, f"{_range(ours.calls)} calls, {_range(ours.live)} live", met)
    if OURS in idle_mb:
        what = f"idle: under {MOST_IDLE_MB} MB"
        yield bar(what, f"{idle_mb[OURS]:.0f} MB", idle_mb[OURS] < MOST_IDLE_MB)


def _one(results: Results, row: Row, name: str) -> str:
    taken = results.get(row.name, {}).get(name)
    if not taken or not taken.answered:
        return "-"
    # There is no file to refer to without a gateway: what it is compared with is the clip inline.
    direct = results.get(row.name, {}).get(DIRECT) or results.get(rows.CLIP.name, {}).get(DIRECT)
    cpu = f", {taken.cpu_ms:.1f}" if taken.cpu_s else ""
    times = f" (x{taken.first / direct.first:.1f}{cpu})" if direct and name != DIRECT else ""
    return f"{taken.first:.2f}{times}"


def _many(results: Results, row: Row) -> Iterator[list[str]]:
    for name, taken in results.get(row.name, {}).items():
        used = [f"{taken.cpu_ms:.2f}", f"{taken.cores:.2f}"] if taken.cpu_s else ["-", "-"]
        yield [row.name, name, f"{taken.per_second:.0f}", f"{taken.first:.1f}", f"{taken.p95:.1f}", *used]


def _shared(results: Results, row: Row) -> Iterator[list[str]]:
    for name, taken in results.get(row.name, {}).items():
        live = _range(taken.live) if row is rows.IDENTICAL else "-"
        yield [row.name, name, f"{taken.first:.2f}", f"{taken.p95:.2f}", _range(taken.calls), live]


def _range(counts: list[int]) -> str:
    lowest, highest = min(counts, default=0), max(counts, default=0)
    return str(lowest) if lowest == highest else f"{lowest} to {highest}"
