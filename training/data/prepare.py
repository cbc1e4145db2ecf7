"""From corpora as delivered to a corpus to train on: cut, clean, deduplicate, split, check for leaks, write.

    python -m training.data.prepare --config training/configs/prepare_nsc.yaml
    python -m training.data.prepare --config FILE --dry-run            what would be done
    python -m training.data.prepare --config FILE --set machine.cpus=8

Kill it anywhere and run it again: it goes on, and ends with the same bytes. `work/` in the corpus' folder
holds what is half done; it may be deleted once the corpus is finished.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from training import errors
from training.config import dump, load
from training.data import assembly, cutting, leaks, schema
from training.data.card import card
from training.data.clips import Unit
from training.data.engine import Engine, Progress, engine
from training.data.files import write_text
from training.data.ledger import Ledger
from training.data.readers import READERS
from training.data.settings import Machine, Preparation
from training.errors import ConfigError, DataError

PACKAGES = ("pyarrow", "soundfile", "soxr", "numpy", "openpyxl")  # those that the bytes depend on


def prepare(build: Preparation) -> dict[str, Any]:
    """Build the corpus and return its report. Raises DataError and ConfigError in words."""
    with _alone(build.out):
        units, skipped = _units(build)
        files = _files(build, units)
        key = _key(build, files)
        report = _finished(build, key)
        if report is None:
            work = build.out / "work"
            hands = engine(build.machine, work / "at")
            _cut(build, units, files, hands, work)
            report = _assemble(build, units, files, skipped, key, hands, work)
        return report


def list_units(build: Preparation) -> list[Unit]:
    """All units of all sources. Raises DataError where a source has none, or two have one name."""
    units = [
        unit
        for number, source in enumerate(build.sources)
        for unit in READERS[source.corpus].units(source, number)
    ]
    names: dict[str, Unit] = {}
    for unit in units:
        if names.setdefault(unit.name, unit) is not unit:
            raise DataError(
                f"{unit.files[0]} and {names[unit.name].files[0]} are both '{unit.name}'. "
                "Give one source another name."
            )
    return units


def cut_piece(build: Preparation, piece: dict[str, Any]) -> dict[str, Any]:
    """Cut a unit in a process of its own, unless it is done; what `Engine.each` calls."""
    file = Path(piece["file"])
    if not file.exists():
        cutting.cut(build, Unit(**piece["unit"]), file)
    return {}


def write_piece(out: Path, done: Path, piece: dict[str, Any]) -> dict[str, Any]:
    """Write a shard in a process of its own, unless it is done."""
    parts = tuple((file, tuple(rows)) for file, rows in piece["parts"])
    assembly.write(assembly.Shard(piece["split"], piece["number"], parts), out, done)
    return {}


def _units(build: Preparation) -> tuple[list[Unit], list[Unit]]:
    """Units to do, and those that the config leaves out."""
    units = list_units(build)
    unknown = sorted(set(build.skip) - {unit.name for unit in units})
    if unknown:
        raise ConfigError(f"`skip` names {', '.join(unknown)}, which no source has. Take it off the list.")
    skipped = [unit for unit in units if unit.name in build.skip]
    return [unit for unit in units if unit.name not in build.skip], skipped


def _files(build: Preparation, units: Sequence[Unit]) -> list[Path]:
    folder = build.out / "work" / "units"
    return [folder / f"{unit.name}.{cutting.fingerprint(build, unit)}.parquet" for unit in units]


def _cut(build: Preparation, units: Sequence[Unit], files: Sequence[Path], hands: Engine, work: Path) -> None:
    waiting = [
        {"name": unit.name, "file": str(file), "unit": unit.plain()}
        for unit, file in zip(units, files, strict=True)
        if not file.exists()
    ]
    progress = Progress("Cutting: unit", len(waiting))
    for _ in hands.each(partial(cut_piece, build), waiting):
        progress.step()


def _assemble(
    build: Preparation,
    units: Sequence[Unit],
    files: Sequence[Path],
    skipped: Sequence[Unit],
    key: str,
    hands: Engine,
    work: Path,
) -> dict[str, Any]:
    heard, rows = _ledgers(build, units, files, skipped)
    table = assembly.gather(files)
    found = assembly.choose(build, table, rows)
    shards = assembly.plan(build, files, table, found)
    pieces = [
        {"name": Path(shard.name).stem, "split": shard.split, "number": shard.number, "parts": shard.parts}
        for shard in shards
    ]
    progress = Progress("Writing: shard", len(pieces))
    for _ in hands.each(partial(write_piece, build.out, work / "shards"), pieces):
        progress.step()
    _remove_others(build.out, shards)
    schema.write_index(build.out / "index.parquet", assembly.index(files, table, found))
    report = {
        "build": key,
        "contents": assembly.contents(table, found),
        "utterances": _plain(heard),
        "rows": _plain(rows),
        "leaks": _leaks(build, table, found),
        "shards": [
            {"name": shard.name, "rows": shard.rows, "bytes": (build.out / shard.name).stat().st_size}
            for shard in shards
        ],
        "versions": {package: version(package) for package in PACKAGES},
    }
    write_text(build.out / "build.yaml", dump(replace(build, machine=Machine())))
    write_text(build.out / "card.md", card(build, report))
    write_text(build.out / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return report


def _ledgers(
    build: Preparation, units: Sequence[Unit], files: Sequence[Path], skipped: Sequence[Unit]
) -> tuple[dict[str, Ledger], dict[str, Ledger]]:
    """What became of utterances and of rows, by source."""
    heard = {source.label: Ledger() for source in build.sources}
    rows = {source.label: Ledger() for source in build.sources}
    for unit, file in zip(units, files, strict=True):
        source = build.sources[unit.source].label
        for ledger, more in zip((heard[source], rows[source]), cutting.ledgers(file), strict=True):
            ledger.add(more)
    for unit in skipped:
        heard[build.sources[unit.source].label].drop("skipped", unit.name)
    return heard, rows


def _plain(ledgers: dict[str, Ledger]) -> dict[str, Any]:
    total = Ledger()
    for ledger in ledgers.values():
        total.add(ledger)
    assert total.balanced
    return {"total": total.plain(), **{name: ledger.plain() for name, ledger in ledgers.items()}}


def _leaks(build: Preparation, table: pa.Table, found: Sequence[str]) -> dict[str, Any]:
    """What train still shares with the corpus' own test and dev, and with the corpora it was cleared of."""
    tests = {"dev and test of this corpus": assembly.rows_of(table, found, ("dev", "test"))}
    tests |= {str(other): leaks.rows(other, ["dev", "test"]) for other in build.leaks.against}
    return {
        name: leaks.report(assembly.rows_of(table, found, ("train",)), leaks.Heard().add(rows))
        for name, rows in tests.items()
    }


def _finished(build: Preparation, key: str) -> dict[str, Any] | None:
    """The report of this very build, if all its shards are there."""
    try:
        report = json.loads((build.out / "report.json").read_text("utf-8"))
        sizes = {shard["name"]: shard["bytes"] for shard in report["shards"]}
        whole = all((build.out / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if report["build"] != key or not whole or not (build.out / "index.parquet").exists():
        return None
    found: dict[str, Any] = report
    return found


def _key(build: Preparation, files: Sequence[Path]) -> str:
    """A hash of all that the corpus depends on."""
    settings = dump(replace(build, out=Path(), machine=Machine()))
    names = [file.name for file in files]
    others = [cutting.state(other) for other in build.leaks.against]
    versions = [version(package) for package in PACKAGES]
    return hashlib.sha256(json.dumps([settings, names, others, versions]).encode()).hexdigest()[:16]


def _remove_others(out: Path, shards: Sequence[assembly.Shard]) -> None:
    """Take away shards of another build, which would be read with these."""
    wanted = {out / shard.name for shard in shards}
    for split in schema.SPLITS:
        for path in (out / split).glob(f"{split}-*.parquet"):
            if path not in wanted:
                path.unlink()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a corpus' folder against other runs."""
    try:
        (out / "work").mkdir(parents=True, exist_ok=True)
        lock = (out / "work" / "lock").open("w")
    except OSError as error:
        raise DataError(f"{out} cannot be written to: {error.strerror}. Choose another `out`.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"Another run is building {out}. Wait for it, or end it first.") from None
        _sweep(out)
        yield
        _sweep(out)


def _sweep(out: Path) -> None:
    """Take away what a killed run or a lost worker left half written."""
    for part in out.rglob(".*.part"):
        part.unlink()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the config, build, say what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m training.data.prepare", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="what to build: training/configs/prepare_*.yaml"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value for a key"
    )
    parser.add_argument("--dry-run", action="store_true", help="list the units of each source and stop")
    chosen = parser.parse_args(arguments)
    build = load(Preparation, chosen.config, chosen.set)
    if chosen.dry_run:
        units = list_units(build)
        counts = {source.label: 0 for source in build.sources}
        for unit in units:
            counts[build.sources[unit.source].label] += 1
        sys.stdout.write(json.dumps({"units": counts, "out": str(build.out)}) + "\n")
        return
    report = prepare(build)
    splits = {
        split: {key: its[key] for key in ("rows", "hours")} for split, its in report["contents"].items()
    }
    dropped = sum(report["rows"]["total"]["dropped"].values())
    sys.stdout.write(json.dumps({"out": str(build.out), **splits, "rows_dropped": dropped}) + "\n")


if __name__ == "__main__":
    sys.exit(errors.run(main))
