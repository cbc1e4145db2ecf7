"""Write a table of results with the command that made it."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def save(
    name: str, title: str, command: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str
) -> None:
    """Write `benchmarks/results/NAME.md` and print it."""
    lines = [f"# {title}", "", f"    {command}", "", note, ""]
    lines += [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    load = os.getloadavg()[0]
    lines += [
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load {load:.1f}.",
        "",
    ]
    text = "\n".join(lines)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
