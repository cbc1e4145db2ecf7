"""What visitors give is kept whole and private, and can be taken back; a receipt reaches nothing else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ui.donations import DELETED, Consent, Donations, read_receipt, show_receipt
from ui.records import NotKept, append
from ui.settings import ROOT

CONSENT = Consent("You may keep this.", "en")
WAV = bytes(range(256)) * 40
PLENTY = 2**20


def kept(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_recording_is_kept_with_its_consent_and_nothing_of_the_visitor(tmp_path: Path):
    folder = tmp_path / "new" / "donations"
    receipt = Donations(folder, PLENTY).keep(WAV, 2.345, CONSENT)
    assert kept(folder) == [f"{receipt}.json", f"{receipt}.wav"]
    assert (folder / f"{receipt}.wav").read_bytes() == WAV
    about = json.loads((folder / f"{receipt}.json").read_text())
    assert set(about) == {"receipt", "time", "seconds", "consent"}
    assert about["consent"] == {"version": CONSENT.version, "language": "en", "text": CONSENT.text}
    assert [mode(file) for file in (folder, *folder.iterdir())] == [0o700, 0o600, 0o600]


def test_a_receipt_deletes_what_it_was_given_for_and_no_other(tmp_path: Path):
    donations = Donations(tmp_path, PLENTY)
    mine, other = donations.keep(WAV, 2, CONSENT), donations.keep(WAV, 2, CONSENT)
    assert mine != other
    assert donations.delete(f" {show_receipt(mine).upper()} ")
    assert kept(tmp_path) == sorted([DELETED, f"{other}.json", f"{other}.wav"])
    assert mine not in (tmp_path / DELETED).read_text()
    assert not donations.delete(mine)


@pytest.mark.parametrize(
    "typed",
    ["", "../secret", "..%2fsecret", "/etc/passwd", "*", "a" * 15, "a" * 17, "aaaaaaaaaaaaaaa1", "a\0" * 16],
)
def test_what_is_no_receipt_reaches_no_file(tmp_path: Path, typed: str):
    (tmp_path / "secret.wav").write_bytes(WAV)
    folder = tmp_path / "donations"
    donations = Donations(folder, PLENTY)
    donations.keep(WAV, 2, CONSENT)
    assert read_receipt(typed) == ""
    assert not donations.delete(typed)
    assert len(kept(folder)) == 2
    assert (tmp_path / "secret.wav").exists()


def test_all_donations_together_have_a_bound(tmp_path: Path):
    donations = Donations(tmp_path, 2 * len(WAV))
    donations.keep(WAV, 2, CONSENT)
    before = kept(tmp_path)
    with pytest.raises(NotKept):
        donations.keep(WAV, 2, CONSENT)
    assert kept(tmp_path) == before


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path):
    file = tmp_path / "a file"
    file.write_text("not a folder")
    with pytest.raises(NotKept):
        Donations(file, PLENTY).keep(WAV, 2, CONSENT)
    with pytest.raises(NotKept):
        append(file / "feedback.jsonl", {"rating": "up"}, PLENTY)


FULL = """
import resource, signal, sys
from pathlib import Path
from ui.donations import DELETED, Consent, Donations
from ui.records import NotKept, append
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
folder = Path(sys.argv[1])
append(folder / "feedback.jsonl", {"comment": "x" * 3000}, 2**20)
for number, write in enumerate((
    lambda: Donations(folder, 2**20).keep(bytes(10_000), 2, Consent("Yes.", "en")),
    lambda: append(folder / "feedback.jsonl", {"comment": "y" * 3000}, 2**20),
)):
    try:
        write()
    except NotKept:
        print("told", number)
"""


def test_a_disk_that_fills_up_half_way_leaves_nothing_half_written(tmp_path: Path):
    """A limit on the size of files stands for the disk: the system takes a part, then refuses the rest."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["told 0", "told 1"]
    assert kept(tmp_path) == ["feedback.jsonl"]
    lines = (tmp_path / "feedback.jsonl").read_text().splitlines()
    assert [json.loads(line)["comment"][:1] for line in lines] == ["x"]


def test_opinions_have_a_bound_and_are_for_the_host_alone(tmp_path: Path):
    file = tmp_path / "feedback" / "feedback.jsonl"
    append(file, {"rating": "up"}, 40)
    with pytest.raises(NotKept):
        append(file, {"rating": "down", "comment": "z" * 100}, 40)
    assert json.loads(file.read_text()) == {"rating": "up"}
    assert mode(file) == 0o600
