"""The importer turns rows in MNSC's form into clips, and says plainly why it cannot."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from model.audio import decode, wav_bytes
from samples.import_mnsc import ImportFailed, bring
from samples.scripts import FOLDER


def tone(seconds: float) -> bytes:
    t = np.arange(int(16_000 * seconds)) / 16_000
    return wav_bytes((8_000 * np.sin(2 * np.pi * 300 * t)).astype(np.int16))


def row(audio: bytes, answer: Any, instruction: Any = "Transcribe it.") -> dict[str, Any]:
    return {
        "context": {"bytes": audio, "path": "a.wav"},
        "instruction": instruction,
        "answer": answer,
        "other_attributes": {"speaker": "1"},
    }


def corpus(folder: Path, subset: str, rows: list[dict[str, Any]]) -> Path:
    (folder / subset).mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / subset / "train-00000-of-00001.parquet")
    return folder


def test_rows_become_clips_and_a_manifest(tmp_path: Path) -> None:
    rows = [
        row(tone(1.5), "<Speaker1>: eh you go first lah <Speaker2>: can can"),
        row(b"not audio", "broken"),
        row(tone(1), "<Speaker1>: okay"),
        row(tone(1), "<Speaker1>: one too many"),
    ]
    folder = corpus(tmp_path / "data", "ASR-PART3-Test", rows)
    corpus(
        folder,
        "SQA-PART3-Test",
        [row(tone(1), {"text": "kopi", "audio": None}, {"text": "What?", "audio": None})],
    )
    target = tmp_path / "mnsc"
    bring(folder, ["ASR-PART3-Test", "SQA-PART3-Test"], 2, target)

    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["synthetic"] is False
    assert "Do not pass them on" in manifest["note"]
    first, second, question = manifest["samples"]
    assert first["transcript"] == "eh you go first lah can can"
    assert (first["speakers"], first["group"], first["seconds"]) == (2, "singlish", 1.5)
    assert second["transcript"] == "okay"
    assert question["prompts"] == [{"task": "answer", "text": "What?", "answers": ["kopi"]}]
    for sample in manifest["samples"]:
        data = (target / sample["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == sample["sha256"]
        assert decode(data).size == 16_000 * sample["seconds"]
    assert set(first) - {"turns"} <= set(question) | {"turns"}


def test_read_speech_is_not_called_singlish(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "data", "ASR-PART2-Test", [row(tone(1), "They live in Bishan.")])
    assert bring(folder, ["ASR-PART2-Test"], 1, tmp_path / "out")[0]["group"] == "singapore"


def test_a_folder_without_the_corpus_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="no parquet files"):
        bring(tmp_path, ["ASR-PART3-Test"], 1, tmp_path / "out")
    folder = corpus(tmp_path / "data", "ASR-PART1-Test", [row(tone(1), "hello")])
    with pytest.raises(ImportFailed, match="No clip was found for ASR-PART3-Test"):
        bring(folder, ["ASR-PART3-Test"], 1, tmp_path / "out")


def test_other_parquet_files_are_explained(tmp_path: Path) -> None:
    (tmp_path / "ASR-PART3-Test").mkdir()
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "ASR-PART3-Test" / "a.parquet")
    with pytest.raises(ImportFailed, match="no column answer, context, instruction"):
        bring(tmp_path, ["ASR-PART3-Test"], 1, tmp_path / "out")
    (tmp_path / "ASR-PART3-Test" / "a.parquet").write_bytes(b"not parquet")
    with pytest.raises(ImportFailed, match="could not be read"):
        bring(tmp_path, ["ASR-PART3-Test"], 1, tmp_path / "out")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}, "The hub could not be reached"),
    ],
)
def test_the_hub_out_of_reach_is_one_sentence(environment: dict[str, str], said: str) -> None:
    command = [sys.executable, "-m", "samples.import_mnsc", "--subset", "ASR-PART3-Test"]
    run = subprocess.run(
        command, env=os.environ | environment, cwd=FOLDER.parent, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert run.stderr.startswith(said)
    assert "--folder" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
