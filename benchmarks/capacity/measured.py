"""Benches that profiles are fitted to, and how: the paper's Table 1, and vLLM on a CPU here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.capacity.fit import Bound, Cell, bench, error, fit
from benchmarks.capacity.profile import Profile
from benchmarks.table1.document import PAPER

PAPER_TOKENS = 62
"""Of an answer: with 16 at once and the table's times, the paper's 867 tokens a second (section 2.2)."""
_START = Profile(
    places=16,
    apart_ms=20.0,
    apart_ms_per_s=0.7,
    read_ms=20.0,
    read_ms_per_s=0.7,
    warm_ms=0.0,
    warm_ms_per_s=0.0,
    reads_at_once=1,
    step_ms=10.0,
    step_ms_per_answer=0.4,
    stall=0.2,
    drag=0.05,
    encoder_cache_chunks=0,
)


@dataclass(frozen=True)
class Bench:
    """A measured table, and between what figures its profile is sought."""

    source: str
    cells: Sequence[Cell]
    places: int
    bounds: Mapping[str, Bound]
    orders: tuple[int, ...]  # how many may be read side by side: tried one after another
    fixed: Mapping[str, float] = field(default_factory=dict)

    def fitted(self) -> Profile:
        """Return the profile that gives this table best."""
        found = [
            fit(
                _START.model_copy(update={"places": self.places, "reads_at_once": order, **self.fixed}),
                dict(self.bounds),
                self.cells,
            )
            for order in self.orders
        ]
        return min(found, key=lambda profile: error(profile, self.cells))

    def residuals(self, profile: Profile) -> list[list[str]]:
        """Return the rows of a table: measured and given back, in ms and percent."""
        rows = []
        for cell in self.cells:
            ttft, itl = bench(profile, cell)
            rows.append(
                [
                    f"{cell.audio_s:g} s",
                    str(cell.at_once),
                    f"{cell.ttft_ms:.1f}",
                    f"{ttft:.1f}",
                    f"{ttft / cell.ttft_ms - 1:+.0%}",
                    f"{cell.itl_ms:.1f}",
                    f"{itl:.1f}",
                    f"{itl / cell.itl_ms - 1:+.0%}",
                ]
            )
        return rows


BENCHES: Mapping[str, Bench] = {
    "h100-meraliongpu": Bench(
        "Table 1 of the paper (MERaLiON-AudioLLM in vLLM, one H100, means of 120 trials)",
        [Cell(s, n, ttft, itl, PAPER_TOKENS, 240) for (s, n), (ttft, itl) in PAPER.items()],
        16,
        {
            "apart_ms": Bound(20.0, 0.0, 60.0),
            "apart_ms_per_s": Bound(0.7, 0.0, 2.0),
            "read_ms": Bound(20.0, 0.0, 60.0),
            "read_ms_per_s": Bound(0.3, 0.0, 2.0),
            "step_ms": Bound(9.6, 8.0, 11.0),
            "step_ms_per_answer": Bound(0.4, 0.0, 0.8),
            "stall": Bound(0.2, 0.0, 0.95),
            "drag": Bound(0.05, 0.0, 0.9),
        },
        (1, 16),
    ),
    "cpu-vllm": Bench(
        "benchmarks/results/serving_cpu_8.md (c-mid in vLLM on two x86-64 cores, 16 trials a cell)",
        [
            Cell(30.0, 1, 522.0, 20.1, 128, 16, varies=0.1),
            Cell(30.0, 8, 3_916.0, 31.1, 128, 16, varies=0.1),
            Cell(60.0, 1, 952.7, 17.7, 128, 16, varies=0.1),
            Cell(60.0, 8, 8_364.8, 29.4, 128, 16, varies=0.1),
            Cell(120.0, 1, 2_045.7, 20.5, 128, 16, varies=0.1),
            Cell(120.0, 8, 13_805.3, 65.4, 128, 16, varies=0.1),
        ],
        8,
        {
            "read_ms": Bound(40.0, 0.0, 200.0),
            "read_ms_per_s": Bound(14.0, 0.0, 20.0),
            "step_ms": Bound(19.0, 10.0, 25.0),
            "step_ms_per_answer": Bound(0.5, 0.0, 5.0),
            "stall": Bound(0.2, 0.0, 0.95),
            "drag": Bound(0.05, 0.0, 0.9),
        },
        (1, 8),
        {"apart_ms": 0.0, "apart_ms_per_s": 0.0},  # one machine does all of it
    ),
}
