"""Corpora as delivered become a corpus to train on; whatever is wrong with them is named and counted."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.training import corpus
from training.config import load
from training.data import cutting, prepare, schema
from training.data.cutting import cut
from training.data.ledger import Ledger
from training.data.settings import Hearing, Leaks, Machine, Preparation, Rules, Source, Splits
from training.errors import ConfigError, DataError

HERE = Machine("processes", cpus=1)


def build(folder: Path, *sources: Source, **more: Any) -> Preparation:
    return Preparation(folder / "corpus", sources, machine=HERE, splits=Splits(0.1, 0.1), **more)


def cut_all(settings: Preparation) -> tuple[list[dict[str, Any]], Ledger, Ledger]:
    """Rows and ledgers of all units, without the processes."""
    rows: list[dict[str, Any]] = []
    heard, made = Ledger(), Ledger()
    for unit in prepare.list_units(settings):
        file = settings.out / f"{unit.name}.parquet"
        cut(settings, unit, file)
        rows += pq.read_table(file).to_pylist()
        for ledger, more in zip((heard, made), cutting.ledgers(file), strict=True):
            ledger.add(more)
    assert heard.balanced and made.balanced and made.kept == len(rows)
    return rows, heard, made


def test_read_speech_is_taken_to_the_bit_with_its_words_and_its_speaker(tmp_path: Path) -> None:
    part = corpus.read_speech(tmp_path, speakers=3, each=4)
    rows, heard, _ = cut_all(build(tmp_path, Source("nsc-1", part)))
    assert [row["id"] for row in rows[:3]] == ["nsc-1-000010001", "nsc-1-000010002", "nsc-1-000011001"]
    first = corpus.sentences()[0]
    assert rows[0]["answer"] == first.text
    assert np.array_equal(np.rint(schema.decode(rows[0]["context"]["bytes"]) * 32_768), first.pcm)
    assert (rows[0]["speakers"], rows[0]["sexes"], rows[0]["accents"]) == (
        ["nsc-12-0001"],
        ["male"],
        ["Malay"],
    )
    assert heard.repaired == {"script_encoding": 2}
    normal, _, _ = cut_all(build(tmp_path, Source("nsc-1", part, text="normalised")))
    assert normal[0]["answer"] == corpus.normalised(first.text)


def test_everything_wrong_with_read_speech_is_named_and_counted(tmp_path: Path) -> None:
    part = corpus.read_speech(tmp_path, speakers=2, each=2)
    data = part / "DATA" / "CHANNEL0"
    speech = [sentence.pcm for sentence in corpus.sentences()[10:14]]
    two_hours = 2 * 3_600 * 32_000
    said = {
        "000090001": ("Corrupt.", b"RIFF, but no more"),
        "000090002": ("There is no sound of this.", None),
        "000090003": ("Two hours.", wav_header(two_hours)),
        "000090004": ("In stereo and at 44.1 kHz.", corpus.wav(np.stack([speech[0]] * 2, 1), 44_100)),
        "000090005": ("Short.", corpus.wav(speech[1][:3_000])),
        "000090006": ("Nothing to be heard.", corpus.wav(np.zeros(32_000, np.int16))),
        "000090007": ("(ppb) <SPK/>", corpus.wav(speech[1])),
        "000090008": ("I said <UNK> there.", corpus.wav(speech[1])),
        "000090009": ("I <LAUGH> there.", corpus.wav(speech[1])),
        "000090010": ("words " * 200, corpus.wav(speech[1])),
        "000090011": ("a", corpus.wav(np.concatenate(speech * 3)[: 20 * 16_000])),
        "000090012": ("No number.", corpus.wav(np.array([np.nan] * 16_000), subtype="FLOAT")),
        "000090013": ("A good one.", corpus.wav(speech[2])),
    }
    folder = data / "WAVE" / "SPEAKER0009" / "SESSION0"
    for id, (_, sound) in said.items():
        if sound:
            corpus.write(folder / f"{id}.WAV", sound)
    with (folder / "000090003.WAV").open("r+b") as file:
        file.truncate(44 + two_hours)
    corpus.write(folder / "000090099.WAV", corpus.wav(speech[3]))
    lines = [f"{id}\t{text}\n\t{text}\n" for id, (text, _) in said.items()]
    (data / "SCRIPT" / "000090.TXT").write_text("".join([*lines, "000090013\tA good one.\n", "???\n"]))
    (data / "SCRIPT" / "000091.TXT").write_bytes(b"\x81\x8d\x8f\xff")
    (data / "SCRIPT" / "notes.doc").write_bytes(b"")
    (data / "WAVE" / "SPEAKER0008.zip").write_bytes(b"no zip")
    (data / "SCRIPT" / "000080.TXT").write_text("000080001\tIn a zip that is none.\n")

    rows, heard, made = cut_all(build(tmp_path, Source("nsc-1", part)))
    assert heard.dropped == {
        "undecodable": 2,
        "no_audio": 1,
        "too_long": 1,
        "empty": 1,
        "unintelligible": 1,
        "unknown_tag": 1,
        "not_finite": 1,
        "no_transcript": 1,
        "duplicate_id": 1,
        "bad_line": 1,
        "script_unreadable": 1,
        "stray": 1,
    }
    assert made.dropped == {"too_short": 1, "silent": 1, "fast": 1, "slow": 1}
    assert heard.repaired == {"resampled": 1, "mixed_down": 1, "no_speaker_data": 2}
    assert [row["id"] for row in rows if "-00009" in row["id"]] == ["nsc-1-000090004", "nsc-1-000090013"]
    assert heard.examples["too_long"] == ["000090003: 000090003.wav has 7,200.0 s"]
    assert "SPEAKER0008.zip is no whole zip" in " ".join(heard.examples["undecodable"])


def wav_header(data: int) -> bytes:
    """The beginning of a WAV of so many bytes, 16 kHz, mono."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + data) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data)


def test_conversations_are_mixed_and_cut_into_windows_of_whole_turns(tmp_path: Path) -> None:
    part = corpus.conversations(tmp_path, count=2)
    rows, heard, made = cut_all(build(tmp_path, Source("nsc-3", part)))
    assert heard.kept == 24 and not heard.dropped and not made.dropped
    assert all(row["duration"] <= 30 for row in rows)
    assert rows[0]["answer"].startswith(f"<Speaker1>: {corpus.sentences()[0].text}\n<Speaker2>: ah ")
    assert rows[0]["speakers"] == ["nsc-3-3000-1", "nsc-3-3000-2"] and rows[0]["sexes"] == ["male", "female"]
    turns = [line for row in rows for line in row["answer"].splitlines()]
    assert sum(row["answer"].count("<Speaker1>") > 0 for row in rows) == len(rows) and len(turns) <= 24

    far, _, _ = cut_all(build(tmp_path, Source("nsc-3", part, microphone="far")))
    assert [row["audio_sha256"] for row in far] == [row["audio_sha256"] for row in rows]
    alone, heard, _ = cut_all(build(tmp_path, Source("nsc-3", part, view="speaker")))
    assert heard.kept == 24 and not any("<Speaker" in row["answer"] for row in alone)
    assert {tuple(row["speakers"]) for row in alone} >= {("nsc-3-3000-1",), ("nsc-3-3001-2",)}


def test_everything_wrong_with_conversations_is_named_and_counted(tmp_path: Path) -> None:
    part = tmp_path / "PART5"
    speech = corpus.sentences()[5].pcm
    whole = corpus.wav(speech)
    seconds = speech.size / 16_000
    fine = corpus.textgrid([(0.0, 1.0, "one"), (1.2, seconds, "two <UNK>")], seconds)
    lapped = (
        corpus.textgrid([(0.0, 1.0, "one")], seconds)
        .replace(b"xmin = 1.0", b"xmin = 0.5")
        .replace(b"<S>", b"two")
    )

    def put(name: str, script: bytes | None, sound: bytes | None) -> None:
        if script is not None:
            corpus.write(part / "Debate Scripts" / f"{name}.TextGrid", script)
        if sound is not None:
            corpus.write(part / "Debate Audio" / name[:8] / f"{name}.wav", sound)

    put("app_4001_6001_phnd_deb-1", fine, whole)  # one side has no script
    put("app_4001_6002_phnd_deb-1", None, whole)
    put("app_4002_6003_phnd_deb-1", fine, whole)  # no partner
    put("app_4003_6004_phnd_deb-1", fine, whole)  # no sound
    put("app_4003_6005_phnd_deb-1", fine, None)
    put("app_4004_6006_phnd_deb-1", fine, corpus.wav(speech[:-8_000]))  # of other lengths
    put("app_4004_6007_phnd_deb-1", fine, whole)
    put("app_4005_6008_phnd_deb-1", lapped, whole)  # intervals lie over each other
    put("app_4005_6009_phnd_deb-1", corpus.textgrid([(0.0, 1.0, "(ppb)")], seconds), whole)
    put("app_4006_6010_phnd_deb-1", fine[:-30], whole)  # breaks off
    put("app_4006_6011_phnd_deb-1", fine, b"RIFF")
    put("notes", b"hello", None)
    rows, heard, _ = cut_all(build(tmp_path, Source("nsc-5", part)))
    assert rows == []
    assert heard.dropped == {
        "stray": 1,
        "no_transcript": 1,
        "script_unreadable": 1,
        "no_partner": 3,
        "no_audio": 2,
        "misaligned": 2,
        "overlapping_intervals": 2,
        "empty": 1,
        "unintelligible": 7,
    }
    assert "lies over" in heard.examples["overlapping_intervals"][0]

    put("app_4007_6012_phnd_deb-1", corpus.textgrid([(0.0, seconds + 0.03, "one two three")], seconds), whole)
    rows, heard, _ = cut_all(build(tmp_path, Source("nsc-5", part, view="speaker")))
    assert heard.repaired["trimmed"] == 1
    assert [row["answer"] for row in rows if "4007" in row["id"]] == ["one two three"]


def test_mnsc_keeps_its_tasks_answers_and_test_set(tmp_path: Path) -> None:
    one, two, three = corpus.sentences()[:3]
    folder = tmp_path / "mnsc"
    corpus.mnsc(
        folder, "ASR-PART3-Train", [(one, "Please.", f"<Speaker1>: {one.text}"), (two, "Please.", "")]
    )
    corpus.mnsc(folder, "SQA-PART3-Train", [(one, "What?", "A thing."), (one, "Who?", "A woman.")])
    corpus.mnsc(folder, "PQA-GR-Sentence-Test", [(three, "Who is it?", "A woman.")])
    settings = build(tmp_path, Source("mnsc", folder))
    rows, heard, _ = cut_all(settings)
    assert heard.dropped == {"empty": 1}
    assert [(row["task"], row["instruction"], row["answer"], row["wanted_split"]) for row in rows] == [
        ("asr", "Please.", f"<Speaker1>: {one.text}", "train"),
        ("gender", "Who is it?", "A woman.", "test"),
        ("sqa", "What?", "A thing.", "train"),
        ("sqa", "Who?", "A woman.", "train"),
    ]
    file = next((folder / "SQA-PART3-Train").glob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[200:20_000] = bytes(19_800)
    file.write_bytes(content)
    with pytest.raises(DataError, match="is broken in row groups 0 to 0"):
        cut_all(settings)


def test_a_corpus_from_three_deliveries_adds_up_and_is_built_once(tmp_path: Path) -> None:
    delivered = tmp_path / "delivered"
    read = corpus.read_speech(delivered, speakers=4, each=8)
    talk = corpus.conversations(delivered, count=2)
    archive = read / "DATA" / "CHANNEL0" / "WAVE" / "SPEAKER0002.zip"
    sentences = corpus.sentences()
    with zipfile.ZipFile(archive) as held:
        members = {name: held.read(name) for name in held.namelist()}
    members["SPEAKER0002/SESSION0/000020001.WAV"] = corpus.wav(sentences[0].pcm)  # as speaker 1 has it
    with zipfile.ZipFile(archive, "w") as held:
        for name, content in members.items():
            held.writestr(name, content)
    other = corpus.mnsc(tmp_path / "mnsc", "ASR-PART1-Test", [(sentences[1], "Please.", sentences[1].text)])
    settings = build(
        tmp_path,
        Source("nsc-1", read),
        Source("nsc-3", talk, name="talk"),
        leaks=Leaks(against=(other,)),
        skip=("talk-3001",),
        shard_mb=1,
    )
    report = prepare.prepare(settings)
    total = report["rows"]["total"]
    assert total["dropped"] == {"duplicate_audio": 1, "leaked_audio": 1}
    assert report["utterances"]["total"]["dropped"] == {"skipped": 1}
    shards = {
        split: [schema.read_shard(path) for path in schema.shards(settings.out, split)]
        for split in schema.SPLITS
    }
    ids = {
        split: [id for table in tables for id in table["id"].to_pylist()] for split, tables in shards.items()
    }
    assert {split: part["rows"] for split, part in report["contents"].items()} == {
        s: len(i) for s, i in ids.items()
    }
    assert total["kept"] == sum(map(len, ids.values())) and all(ids.values())
    index = schema.read_index(settings.out).to_pylist()
    assert {row["id"]: row["split"] for row in index} == {
        id: split for split, held in ids.items() for id in held
    }
    where: dict[str, set[str]] = {}
    for row in index:
        for speaker in row["speakers"]:
            where.setdefault(speaker, set()).add(row["split"])
    assert len(where) == 6 and all(len(splits) == 1 for splits in where.values())
    assert all(
        not its[rule] for its in report["leaks"].values() for rule in ("leaked_audio", "leaked_speaker")
    )
    card = (settings.out / "card.md").read_text()
    assert "nsc-1-000020001 as nsc-1-000010001" in card and "Singapore Open Data Licence" in card

    before = {path: path.stat().st_mtime_ns for path in settings.out.rglob("*") if path.is_file()}
    assert prepare.prepare(settings) == report
    before.pop(settings.out / "work" / "lock")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_split_may_be_empty(tmp_path: Path) -> None:
    part = corpus.read_speech(tmp_path, speakers=2, each=3)
    whole = Preparation(tmp_path / "corpus", (Source("nsc-1", part),), machine=HERE, splits=Splits(0.0, 0.0))
    contents = prepare.prepare(whole)["contents"]
    assert contents["train"]["rows"] > 0
    assert all(contents[split]["rows"] == contents[split]["hours"] == 0 for split in ("dev", "test"))


def test_what_is_wrong_with_a_config_is_said_before_anything_is_done(tmp_path: Path) -> None:
    part = corpus.read_speech(tmp_path, speakers=1, each=2)
    with pytest.raises(DataError, match="Set the source's `folder` to PART2 as delivered"):
        prepare.prepare(build(tmp_path, Source("nsc-2", tmp_path)))
    with pytest.raises(DataError, match="holds no scripts of nsc-3"):
        prepare.prepare(build(tmp_path, Source("nsc-3", part)))
    with pytest.raises(DataError, match="holds no subset such as ASR-PART3-Train"):
        prepare.prepare(build(tmp_path, Source("mnsc", part)))
    with pytest.raises(ConfigError, match="`skip` names nobody, which no source has"):
        prepare.prepare(build(tmp_path, Source("nsc-1", part), skip=("nobody",)))
    with pytest.raises(ValueError, match="two sources have one name"):
        build(tmp_path, Source("nsc-1", part), Source("nsc-1", part))
    with pytest.raises(ValueError, match="one encoder window"):
        Rules(longest_s=40)


@pytest.mark.parametrize("name", ["prepare_nsc", "prepare_mnsc"])
def test_the_configs_that_come_with_the_code_are_read(name: str) -> None:
    settings = load(Preparation, Path(prepare.__file__).parents[1] / "configs" / f"{name}.yaml")
    assert settings.machine.engine == "ray" and settings.rules == Rules()


def test_the_command_says_what_it_would_do_and_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = corpus.read_speech(tmp_path, speakers=3, each=2)
    config = tmp_path / "c.yaml"
    config.write_text(f"out: {tmp_path}/corpus\nsources:\n  - {{corpus: nsc-1, folder: {part}}}\n")
    prepare.main(["--config", str(config), "--dry-run"])
    assert json.loads(capsys.readouterr().out)["units"] == {"nsc-1": 3}
    config.write_text(config.read_text().replace("folder", "foldr"))
    with pytest.raises(ConfigError, match=r"Did you mean sources\[0\]\.folder\?"):
        prepare.main(["--config", str(config)])


def test_other_settings_make_other_shards_and_leave_none_of_the_old(tmp_path: Path) -> None:
    part = corpus.read_speech(tmp_path / "delivered", speakers=8, each=10)
    first = build(tmp_path, Source("nsc-1", part), shard_mb=1)
    prepare.prepare(first)
    many = [path.name for path in schema.shards(first.out, "train")]
    second = build(tmp_path, Source("nsc-1", part), instructions=("Write it down.",))
    report = prepare.prepare(second)
    (shard,) = schema.shards(second.out, "train")
    assert len(many) > 1 and shard.name == many[0]
    assert set(schema.read_shard(shard)["instruction"].to_pylist()) == {"Write it down."}
    assert report["build"] in (second.out / "card.md").read_text()


def test_parts_3_to_6_are_found_by_the_names_of_their_files(tmp_path: Path) -> None:
    one, two = [sentence.pcm for sentence in corpus.sentences() if sentence.pcm.size > 40_000][:2]
    length = min(one.size, two.size)
    seconds = length / 16_000
    sides = [
        (corpus.wav(sound[:length]), corpus.textgrid([(start, start + 0.9, text)], seconds))
        for sound, start, text in ((one, 0.1, "how are you"), (two, 0.8, "fine lah"))
    ]

    def put(folder: str, *names: str) -> None:
        for name, (sound, script) in zip(names, sides, strict=True):
            path = Path(name)
            corpus.write(tmp_path / folder / "Scripts" / path.parent.name / f"{path.name}.TextGrid", script)
            corpus.write(tmp_path / folder / "Audio" / path.parent.name / f"{path.name}.wav", sound)

    put("PART4", "Diff_Room/sur_0134_1268_phnd_cs-chn", "Diff_Room/sur_0134_1269_phnd_cs-chn")
    put("PART6", "a/b/app_0683_0013_phnd_cc-bnk", "a/b/app_0683_0012_phnd_cc-bnk")
    ivr = tmp_path / "PART3" / "Audio Separate IVR" / "conf_2500_2500"
    for speaker, (sound, script) in zip(("00862025", "00862177"), sides, strict=True):
        corpus.write(ivr / f"{speaker}.wav", sound)
        name = f"conf_2500_2500_{speaker}"
        corpus.write(tmp_path / "PART3" / "Audio Separate StandingMic" / f"{name}.wav", sound)
        corpus.write(tmp_path / "PART3" / "Scripts Separate" / f"{name}.TextGrid", script)

    parts = [Source(f"nsc-{part}", tmp_path / f"PART{part}") for part in (4, 6, 3)]
    far = Source("nsc-3", tmp_path / "PART3", name="far", microphone="far")
    rows, heard, made = cut_all(build(tmp_path, *parts, far))
    assert not heard.dropped and not made.dropped and len(rows) == 4
    assert {row["answer"] for row in rows} == {"<Speaker1>: how are you\n<Speaker2>: fine lah"}
    assert [row["speakers"] for row in rows] == [
        ["nsc-4-1268", "nsc-4-1269"],
        ["nsc-6-0013", "nsc-6-0012"],
        ["nsc-3-862025", "nsc-3-862177"],
        ["nsc-3-862025", "nsc-3-862177"],
    ]


def test_rows_of_which_a_recogniser_hears_other_words_are_left_out(tmp_path: Path) -> None:
    part = corpus.read_speech(tmp_path, speakers=1, each=4)
    heard = [
        {"id": "nsc-1-000010001", "text": "quite something else"},
        {"id": "nsc-1-000010002", "text": "hm"},
    ]
    (tmp_path / "heard.jsonl").write_text("".join(json.dumps(line) + "\n" for line in heard))
    rules = Rules(hearing=Hearing(file=tmp_path / "heard.jsonl"))
    rows, _, made = cut_all(build(tmp_path, Source("nsc-1", part), rules=rules))
    assert made.dropped == {"disagrees": 2} and made.repaired == {"not_heard": 2} and len(rows) == 2
