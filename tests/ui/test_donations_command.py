"""`python -m ui.donations`, as a host runs it: nothing of a recording is told, nothing deleted comes back."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.ui.conftest import tone
from ui.backup import BackupError, backup, restore
from ui.donations import DELETED, Consent, Donations, show_receipt
from ui.retention import retain
from ui.settings import ROOT

CONSENT = Consent("You may keep this.", "en")
WAV = tone(1.2)
PLENTY = 10 * 2**20


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
    return subprocess.run(
        [sys.executable, "-m", "ui.donations", *arguments],
        cwd=ROOT,
        env={**clean, "MERALION_UI_DONATIONS_DIR": str(folder), **more},
        capture_output=True,
        text=True,
        timeout=60,
    )


def aged(folder: Path, receipt: str, days: float) -> None:
    file = folder / f"{receipt}.json"
    told = json.loads(file.read_text())
    told["time"] = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    file.write_text(json.dumps(told))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "donations"


@pytest.fixture
def donations(folder: Path) -> Donations:
    return Donations(folder, PLENTY)


def test_a_host_looks_backs_up_deletes_and_brings_back(folder: Path, donations: Donations, tmp_path: Path):
    mine, other = donations.keep(WAV, 1.2, CONSENT), donations.keep(WAV, 1.2, CONSENT)
    listed = run(folder, "list").stdout
    assert sorted(line.split()[0] for line in listed.splitlines()) == sorted(map(show_receipt, (mine, other)))
    assert CONSENT.text not in listed
    saved = tmp_path / "saved.tar"
    assert run(folder, "backup", str(saved)).returncode == 0
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    gone = run(folder, "delete", show_receipt(mine).upper())
    assert (gone.returncode, gone.stdout) == (0, "It is deleted.\n")
    assert run(folder, "delete", mine).returncode == 1
    donations.folder.joinpath(f"{other}.wav").unlink()
    donations.folder.joinpath(f"{other}.json").unlink()
    back = run(folder, "restore", str(saved))
    assert back.stdout == "1 are back, 0 were there, 1 were deleted and stay so.\n"
    assert (folder / f"{other}.wav").read_bytes() == WAV
    assert not list(folder.glob(f"{mine}*"))
    assert mine not in (folder / DELETED).read_text()


def test_a_deletion_holds_also_where_the_folder_was_lost(folder: Path, donations: Donations, tmp_path: Path):
    mine = donations.keep(WAV, 1.2, CONSENT)
    backup(donations, tmp_path / "saved.tar")
    assert donations.delete(mine)
    later = tmp_path / DELETED  # the host copies this list, which tells nothing, beside the backups
    later.write_bytes((folder / DELETED).read_bytes())
    new = Donations(tmp_path / "new", PLENTY)
    assert restore(new, tmp_path / "saved.tar", later).deleted == 1
    assert restore(new, tmp_path / "saved.tar").back == 0  # it is noted there now
    assert restore(Donations(tmp_path / "newer", PLENTY), tmp_path / "saved.tar").back == 1


def test_the_same_donations_make_the_same_file(donations: Donations, tmp_path: Path):
    for _ in range(3):
        donations.keep(WAV, 1.2, CONSENT)
    for name in ("one.tar", "two.tar"):
        assert backup(donations, tmp_path / name) == 3
    one, two = (hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("one.tar", "two.tar"))
    assert one == two
    with pytest.raises(BackupError, match="is there already"):
        backup(donations, tmp_path / "one.tar")


def test_what_is_old_is_deleted(folder: Path, donations: Donations):
    old, new = donations.keep(WAV, 1.2, CONSENT), donations.keep(WAV, 1.2, CONSENT)
    aged(folder, old, 91)
    aged(folder, new, 89)
    refused = run(folder, "purge")
    assert refused.returncode == 2 and "--days" in refused.stderr
    assert run(folder, "purge", MERALION_UI_DONATIONS_DAYS="90").stdout.startswith("1 donations")
    assert [one.receipt for one in donations.all()] == [new]
    assert len(donations.deleted()) == 1


def test_the_pages_keep_to_the_age_by_themselves(folder: Path, donations: Donations):
    old = donations.keep(WAV, 1.2, CONSENT)
    aged(folder, old, 8)
    retain(donations, 0)
    assert donations.all()
    retain(donations, 7)
    deadline = time.monotonic() + 10
    while donations.all() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not donations.all()


@pytest.mark.parametrize("name", ["../../evil.json", "/etc/cron.d/evil", "evil.py"])
def test_a_foreign_tar_writes_nothing(donations: Donations, tmp_path: Path, name: str):
    foreign = tmp_path / "foreign.tar"
    with tarfile.open(foreign, "w") as tar:
        about = tarfile.TarInfo(name)
        about.size = 4
        tar.addfile(about, io.BytesIO(b"evil"))
    with pytest.raises(BackupError, match="no backup of ours"):
        restore(donations, foreign)
    assert not donations.folder.exists()
    (tmp_path / "no.tar").write_text("nothing of the kind")
    with pytest.raises(BackupError, match="cannot be read"):
        restore(donations, tmp_path / "no.tar")


def test_a_disk_that_is_full_leaves_no_half_backup(folder: Path, donations: Donations, tmp_path: Path):
    donations.keep(WAV, 1.2, CONSENT)
    code = (
        "import resource, signal, sys; from ui.donations_command import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"sys.exit(main(['--dir', {str(folder)!r}, 'backup', {str(tmp_path / 'saved.tar')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be written" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["donations"]
