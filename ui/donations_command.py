"""What a host does with the recordings that visitors gave: look, back up, bring back, delete.

python -m ui.donations list                    # receipt, day, seconds, bytes; nothing of what is in them
python -m ui.donations backup FILE.tar         # all of them in one new file, read again to be sure
python -m ui.donations restore FILE.tar        # what is neither there nor deleted since
python -m ui.donations delete RECEIPT          # as a visitor would on the page
python -m ui.donations purge --days 90         # what is older
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ui.backup import BackupError, backup, restore
from ui.donations import Donations, show_receipt
from ui.records import NotKept
from ui.settings import SettingsError, settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; 2 stands for one that cannot be done as things are."""
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m ui.donations", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dir", type=Path, help="the folder (MERALION_UI_DONATIONS_DIR)")
    do = parser.add_subparsers(dest="do", required=True, metavar="list|backup|restore|delete|purge")
    do.add_parser("list")
    do.add_parser("backup").add_argument("file", type=Path)
    bring = do.add_parser("restore")
    bring.add_argument("file", type=Path)
    bring.add_argument("--deleted", type=Path, help="a later deleted.jsonl, where the folder's own was lost")
    do.add_parser("delete").add_argument("receipt")
    old = do.add_parser("purge")
    old.add_argument("--days", type=float, help="delete what is older (MERALION_UI_DONATIONS_DAYS)")
    chosen = parser.parse_args(arguments)
    try:
        return _do(chosen)
    except (BackupError, NotKept, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2


def _do(chosen: argparse.Namespace) -> int:
    host = settings()
    folder = chosen.dir or (Path(host.donations_dir) if host.donations_dir else None)
    if folder is None:
        raise SettingsError("There is no folder of donations. Set MERALION_UI_DONATIONS_DIR, or give --dir.")
    kept = Donations(folder.expanduser(), int(host.donations_mb * 2**20))
    match chosen.do:
        case "list":
            for one in kept.all():
                day = one.time.date().isoformat()
                _say(f"{show_receipt(one.receipt)}  {day}  {one.seconds:8.1f} s  {one.bytes:10,} bytes")
        case "backup":
            _say(f"{backup(kept, chosen.file)} donations are in {chosen.file}, and were read again.")
        case "restore":
            done = restore(kept, chosen.file, chosen.deleted)
            _say(f"{done.back} are back, {done.there} were there, {done.deleted} were deleted and stay so.")
        case "delete":
            there = kept.delete(chosen.receipt)
            _say(
                "It is deleted." if there else "No donation has this receipt: it was deleted, or never given."
            )
            return 0 if there else 1
        case "purge":
            days = host.donations_days if chosen.days is None else chosen.days
            if days <= 0:
                raise SettingsError("Say how old: --days 90, or set MERALION_UI_DONATIONS_DAYS.")
            _say(f"{kept.purge(days)} donations were older than {days:g} days, and are deleted.")
    return 0


def _say(line: str) -> None:
    print(line)  # noqa: T201
