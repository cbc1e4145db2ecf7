"""Write a table of results with the command that made it."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def save(
    name: str, title: str, command: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str
) -> None:
    """Write `benchmarks/results/NAME.md` and print it."""
    text = "\n".join(
        [f"# {title}", "", f"    {command}", "", note, "", *table(head, rows), "", machine(), ""]
    )
    publish(name, text)
    print(text)


def tell(name: str, title: str, rows: Sequence[Sequence[str]], note: str, *, write: bool) -> None:
    """Print what was measured, and write it down if that is wanted."""
    command = f"python -m benchmarks.{name} {shlex.join(sys.argv[1:])}".rstrip()
    head = ["what", "measured", ""]
    if write:
        save(name, title, command, head, rows, note)
    else:
        print("\n".join([note, "", *table(head, rows), "", machine()]))


def met(is_met: bool) -> str:
    """Say whether a bar was met."""
    return "ok" if is_met else "NOT MET"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def machine() -> str:
    """One line about this machine: a figure means nothing without it."""
    load = os.getloadavg()[0]
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}, load {load:.1f}."
    )


def processors() -> str:
    """The names of this machine's CPU and GPUs, as far as it tells them."""
    found = []
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        names = (line.partition(":")[2].strip() for line in cpu.read_text().splitlines())
        keys = (line.partition(":")[0].strip() for line in cpu.read_text().splitlines())
        found += [name for key, name in zip(keys, names, strict=True) if key == "model name"][:1]
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found += subprocess.run(query, capture_output=True, text=True, check=False).stdout.split("\n")
    return ", ".join(name for name in found if name)


def publish(name: str, text: str) -> None:
    """Write `benchmarks/results/NAME.md`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
