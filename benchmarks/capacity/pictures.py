"""The pictures beside the tables, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.capacity.simulate import Times

_SEEN, _GUESSED = "#1b6ca8", "#d9822b"
_COLOURS = ("#1b6ca8", "#d9822b", "#3a8f5c", "#8f3a6b", "#777777")
_DPI = 110


def curves(file: Path, panels: Sequence[tuple[str, Times, Sequence[Times]]]) -> None:
    """Draw, a panel each, what share of the measured and of the predicted answers came within so long."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (title, seen, guesses) in zip(
        figure.subplots(1, len(panels), sharey=True), panels, strict=True
    ):
        for number, guess in enumerate(guesses):
            _steps(
                axes,
                guess,
                color=_GUESSED,
                alpha=0.12,
                linewidth=0.7,
                label="" if number else "one simulation",
            )
        _steps(axes, np.concatenate(guesses), color=_GUESSED, linewidth=2, label="predicted")
        _steps(axes, seen, color=_SEEN, linewidth=2, label="measured")
        axes.set(title=title, xlabel="s", ylim=(0, 1), xlim=(0, None))
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.axes[0].set_ylabel("share of the answers")
    figure.savefig(file, dpi=_DPI)


def day(
    file: Path, title: str, minutes: Times, rows: Sequence[tuple[str, Sequence[Times], Sequence[str]]]
) -> None:
    """Draw quantities over an event's time, a panel each: its label, its lines, their names."""
    figure = Figure(figsize=(9, 2.1 * len(rows) + 0.6), layout="constrained")
    figure.suptitle(title)
    for axes, (label, lines, names) in zip(
        np.atleast_1d(figure.subplots(len(rows), 1, sharex=True)), rows, strict=True
    ):
        for line, name, colour in zip(lines, names, _COLOURS, strict=False):
            axes.plot(minutes, line, color=colour, linewidth=1.3, label=name)
        axes.set_ylabel(label)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(loc="upper right", fontsize="small")
    axes.set_xlabel("minutes from the beginning")
    figure.savefig(file, dpi=_DPI)


def _steps(axes: Axes, times: Times, **style: Any) -> None:
    ordered = np.sort(times)
    axes.step(ordered, np.arange(1, len(ordered) + 1) / max(len(ordered), 1), where="post", **style)
