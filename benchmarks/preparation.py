"""What preparing training data costs: Ray Data beside plain processes, killed runs beside whole ones.

    .venv-train/bin/python -m benchmarks.preparation                          # 2,000 clips, writes the table
    .venv-train/bin/python -m benchmarks.preparation --clips 200 --rounds 1 --keep     # writes nothing

Needs the Debian package asterisk-core-sounds-en-g722. The corpus is laid out as NSC's parts 1 and 3 are
delivered, of recordings of a person at speeds that differ a little. The engines take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.report import save, table
from tests.training import corpus
from tests.training.runs import contents, kill, on_ray, reach, start

SPEAKERS_CLIPS = 25  # sentences a speaker
TURNS = 100  # in a conversation: about four minutes
ENGINES = ("processes", "ray")


@dataclass(frozen=True)
class Run:
    """One preparation from nothing."""

    engine: str
    seconds: float  # with everything
    cutting: float  # from the first unit that was done to the last
    units: int
    hours: float  # of speech in the corpus
    peak_mb: float  # of the largest process
    together_mb: float  # of all of them at once


def main() -> None:
    """Make a corpus, prepare it in turns, kill it twice, write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="keep the table that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="preparation-") as place:
        folder = Path(place)
        clips = deliver(folder / "delivered", options.clips)
        runs = [
            measured(folder / f"{engine}-{turn}" / "corpus", folder / "delivered", engine, options.cpus)
            for turn in range(options.rounds)
            for engine in ENGINES
        ]
        whole = [contents(folder / f"{run}-0" / "corpus") for run in ENGINES]
        killed = killed_twice(folder / "killed" / "corpus", folder / "delivered", runs[0].units)
        same = [whole[0] == whole[1], whole[0] == killed]
    report(options, clips, runs, same)
    if not all(same):
        raise SystemExit("The corpora differ.")


def deliver(folder: Path, clips: int) -> int:
    """Part 1 with most of the clips, part 3 with the rest as turns; how many there are."""
    speakers = max(2, clips * 4 // 5 // SPEAKERS_CLIPS)
    talks = max(2, (clips - speakers * SPEAKERS_CLIPS) // TURNS)
    each = SPEAKERS_CLIPS // 2 * 2
    corpus.read_speech(folder, speakers, each)
    corpus.conversations(folder, talks, TURNS)
    return speakers * each + talks * TURNS


def measured(out: Path, delivered: Path, engine: str, cpus: int) -> Run:
    """Prepare a corpus from nothing in a process of its own."""
    began = time.monotonic()
    process = start(out, delivered, engine, cpus, shard_mb=16)
    memory = Memory(process.pid)
    assert process.wait() == 0
    seconds = time.monotonic() - began
    memory.stop()
    done = sorted(path.stat().st_mtime for path in (out / "work/units").iterdir())
    contents_of = json.loads((out / "report.json").read_text())["contents"]
    hours = sum(part["hours"] for part in contents_of.values())
    return Run(engine, seconds, done[-1] - done[0], len(done), hours, memory.largest, memory.together)


def killed_twice(out: Path, delivered: Path, units: int) -> dict[str, str]:
    """The files of a corpus whose preparation was killed while cutting and while writing, at random."""
    chance = random.Random()
    for folder, most in (("units", units * 2 // 3), ("shards", 3)):
        with on_ray(out, delivered, shard_mb=16) as run:
            reach(run, out / "work" / folder, chance.randint(1, most))
            kill(run)
    with on_ray(out, delivered, shard_mb=16) as run:
        assert run.wait() == 0
    return contents(out)


class Memory:
    """Looks at a process and its children until it is stopped; megabytes."""

    EVERY = 0.2  # s

    def __init__(self, pid: int) -> None:
        self.largest = self.together = 0.0
        self._process = psutil.Process(pid)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self.EVERY):
            sizes = []
            try:
                for process in (self._process, *self._process.children(recursive=True)):
                    sizes.append(process.memory_info().rss / 1e6)
            except psutil.Error:
                continue
            self.largest = max(self.largest, *sizes)
            self.together = max(self.together, sum(sizes))


def report(options: argparse.Namespace, clips: int, runs: list[Run], same: list[bool]) -> None:
    """Write the table, or print it."""
    rows = []
    for engine in ENGINES:
        mine = sorted((run for run in runs if run.engine == engine), key=lambda run: run.cutting)
        run = mine[len(mine) // 2]
        cutting = run.cutting * run.units / max(1, run.units - 1)
        rows.append(
            [
                engine,
                f"{run.seconds:.1f} s",
                f"{cutting:.1f} s",
                f"{clips / cutting / options.cpus:.0f}",
                f"{run.hours * 3600 / cutting / options.cpus:.0f}x",
                f"{run.peak_mb:.0f} MB",
                f"{run.together_mb:.0f} MB",
            ]
        )
    said = ["no: THEY DIFFER", "yes"]
    note = (
        f"{clips:,} clips and turns, {runs[0].hours:.2f} h of speech in {runs[0].units} units, "
        f"{options.cpus} processes, the median of {options.rounds} rounds in turn. Cutting is from the first "
        "unit that was done to the last, without the start of Python and Ray; the rates are of it.\n\n"
        f"The same bytes by both engines: {said[same[0]]}. "
        f"The same bytes after two kills at random: {said[same[1]]}."
    )
    head = [
        "engine",
        "whole run",
        "cutting",
        "clips/s a core",
        "real time a core",
        "largest process",
        "all at once",
    ]
    if options.keep:
        print("\n".join([note, "", *table(head, rows)]))
        return
    command = (
        f".venv-train/bin/python -m benchmarks.preparation --clips {options.clips} --rounds {options.rounds}"
    )
    save("preparation", "Preparing training data", command, head, rows, note)


if __name__ == "__main__":
    main()
