"""The memory of a program over time, and whether it grows."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from benchmarks.load.processes import Program

_EVERY_S = 2.0


@dataclass
class Memory:
    """Samples of (seconds since the start, MB resident) of a program, its children left out."""

    program: Program
    samples: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Count time from now on."""
        self._began = time.monotonic()

    def sample(self) -> None:
        """Take one."""
        self.samples.append((time.monotonic() - self._began, self.program.resident_mb()))

    async def watch(self) -> None:
        """Take samples until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_EVERY_S)

    def after(self, seconds: float) -> list[tuple[float, float]]:
        """Return what was seen later than that."""
        return [sample for sample in self.samples if sample[0] >= seconds]

    def slope(self, since_s: float) -> float:
        """Fit a line by least squares to what came after a moment; MB a minute."""
        later = self.after(since_s)
        if len(later) < 2:
            return 0.0
        return 60 * statistics.linear_regression(*zip(*later, strict=True)).slope

    def growth(self, since_s: float) -> float:
        """How much it grew from a moment to the end by that line, as a share of what it had then."""
        later = self.after(since_s)
        if len(later) < 2:
            return 0.0
        line = statistics.linear_regression(*zip(*later, strict=True))
        at_first = line.intercept + line.slope * later[0][0]
        return line.slope * (later[-1][0] - later[0][0]) / at_first

    def line(self, since_s: float) -> str:
        """Say what was seen, in words."""
        seen = [mb for _, mb in self.samples]
        return (
            f"{seen[0]:.0f} MB at first, {self.after(since_s)[0][1]:.0f} after {since_s:.0f} s, "
            f"{max(seen):.0f} at most, {seen[-1]:.0f} at the end; "
            f"after {since_s:.0f} s {self.slope(since_s):+.2f} MB a minute, "
            f"{100 * self.growth(since_s):+.1f}% in all"
        )
