"""No speaker is in two splits, no sound is there twice, and what leaks is found."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.training import corpus
from training.data import assembly, leaks, schema, splits
from training.data.audio import sha256
from training.data.duplicates import find
from training.data.leaks import Heard, Row
from training.data.ledger import Ledger
from training.data.settings import Leaks, Preparation, Source, Splits
from training.errors import DataError


def groups(rows: list[tuple[str, list[str]]]) -> tuple[list[int], list[str]]:
    found, called = splits.groups(
        pa.chunked_array([[sound for sound, _ in rows]]), pa.chunked_array([[who for _, who in rows]])
    )
    return list(map(int, found)), called


def test_whoever_is_heard_together_or_sounds_the_same_is_one_group() -> None:
    found, called = groups(
        [
            ("x1", ["c", "b"]),
            ("x2", ["b"]),
            ("x3", ["a"]),
            ("x4", []),
            ("x4", []),
            ("x3", []),
            ("x5", ["d", "a"]),
        ]
    )
    assert found[0] == found[1] and found[2] == found[5] == found[6] and found[3] == found[4]
    assert len(set(found)) == 3
    assert [called[found[at]] for at in (0, 2, 3)] == ["b", "a", "x4"]


def test_shares_are_kept_and_more_speakers_do_not_move_the_others() -> None:
    names = [f"nsc-12-{n:04d}" for n in range(4_000)]
    settings = Splits(dev=0.1, test=0.2)
    found = splits.assign(names, set(), set(), settings)
    assert found.count("test") / 4_000 == pytest.approx(0.2, abs=0.02)
    assert found.count("dev") / 4_000 == pytest.approx(0.1, abs=0.02)
    assert splits.assign(names[:1_000], set(), set(), settings) == found[:1_000]
    assert splits.assign(names, set(), set(), Splits(0.1, 0.2, seed=1)) != found


def test_a_small_corpus_has_all_splits_and_published_ones_are_kept() -> None:
    assert sorted(splits.assign(["a", "b", "c"], set(), set(), Splits())) == ["dev", "test", "train"]
    assert splits.assign(["a", "b"], set(), set(), Splits()) == ["train", "train"]
    found = splits.assign([f"s{n}" for n in range(300)], {0, 1}, set(range(1, 300)), Splits(0.1, 0.5))
    assert found[:2] == ["test", "test"] and "test" not in found[2:] and "dev" in found[2:]


def test_no_speaker_is_in_two_splits_whatever_the_conversations() -> None:
    chance = random.Random(4)
    rows = [(f"x{n}", chance.sample([f"s{s}" for s in range(200)], 2)) for n in range(150)]
    found, called = groups(rows)
    split = splits.assign(called, set(), set(), Splits(0.2, 0.2))
    where: dict[str, set[str]] = {}
    for (_, who), group in zip(rows, found, strict=True):
        for name in who:
            where.setdefault(name, set()).add(split[group])
    assert all(len(places) == 1 for places in where.values())


def test_the_first_of_the_same_samples_stays_if_the_same_is_asked() -> None:
    rows = [
        ("a", "asr", "Please.", "x1"),
        ("b", "asr", "Transcribe.", "x1"),
        ("c", "gender", "Who?", "x1"),
        ("d", "sqa", "What?", "x1"),
        ("e", "sqa", "When?", "x1"),
        ("e", "asr", "Please.", "x2"),
    ]
    names = ("id", "task", "instruction", "audio_sha256")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    assert [(double.row, double.first, double.rule) for double in find(table)] == [
        (1, 0, "duplicate_audio"),
        (5, 4, "duplicate_id"),
    ]


def test_a_row_leaks_by_its_sound_its_speaker_or_its_words() -> None:
    test = Heard().add([Row("t1", "x1", ["s1"], "this is four words"), Row("t2", "x2", [], "thank you")])
    assert test.shares(Row("a", "x1", ["s1"], "other")) == {"leaked_audio": "t1", "leaked_speaker": "t1"}
    assert test.shares(Row("a", "x3", [], "this is four words")) == {"leaked_text": "t1"}
    assert test.shares(Row("a", "x3", ["s2"], "thank you")) == {}


def gathered(*rows: tuple[str, str, list[str], str, str]) -> pa.Table:
    """Rows as units give them: id, sound, speakers, words, the split that the corpus wants."""
    names = ("id", "audio_sha256", "speakers", "text", "wanted_split")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    same = {"task": "asr", "instruction": "Please.", "source": "s"}
    return pa.table(columns | {name: [value] * len(rows) for name, value in same.items()})


def test_rows_that_leak_within_a_corpus_are_dropped_from_train() -> None:
    settings = Preparation(
        Path("c"), (Source("mnsc", Path("m")),), splits=Splits(0, 0), leaks=Leaks(drop_text=True)
    )
    table = gathered(
        ("a", "x1", [], "the first of many sentences", "test"),
        ("b", "x1", [], "the first of many sentences", "train"),
        ("c", "x2", [], "the first of many sentences", "train"),
        ("d", "x3", [], "thank you", "train"),
        ("e", "x4", [], "thank you", "test"),
    )
    ledger = Ledger(read=5, kept=5)
    assert assembly.choose(settings, table, {"s": ledger}) == ["test", "", "", "train", "test"]
    assert ledger.dropped == {"leaked_audio": 1, "leaked_text": 1} and ledger.balanced
    ledger = Ledger(read=5, kept=5)
    found = assembly.choose(replace(settings, leaks=Leaks()), table, {"s": ledger})
    assert found == ["test", "", "train", "train", "test"]


def corpus_of(folder: Path, split: str, people: list[tuple[corpus.Sentence, str]]) -> Path:
    rows = [
        {
            "id": f"{split}-{n}",
            "split": split,
            "task": "asr",
            "source": "s",
            "duration": 1.0,
            "audio_sha256": sha256(sentence.pcm),
            "speakers": [who],
            "sexes": [""],
            "accents": [""],
            "text": sentence.text.lower(),
        }
        for n, (sentence, who) in enumerate(people)
    ]
    schema.write_index(folder / "index.parquet", rows)
    return folder


def test_the_command_compares_corpora_and_published_parquet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, three = corpus.sentences()[:3]
    mine = corpus_of(tmp_path / "mine", "train", [(one, "s1"), (two, "s2")])
    other = corpus_of(tmp_path / "other", "test", [(three, "s2")])
    fine = corpus_of(tmp_path / "fine", "test", [(three, "s3")])
    published = corpus.mnsc(tmp_path / "mnsc", "ASR-PART1-Test", [(one, "Please transcribe.", one.text)])
    leaks.main([str(mine), str(fine)])
    assert json.loads(capsys.readouterr().out)[str(fine)]["train_rows"] == 2
    with pytest.raises(DataError, match=f"shares sound or speakers with {other}, {published}"):
        leaks.main([str(mine), str(fine), str(other), str(published)])
    found = json.loads(capsys.readouterr().out)
    assert found[str(other)]["leaked_speaker"] == 1 and found[str(other)]["leaked_audio"] == 0
    assert found[str(published)]["leaked_audio"] == 1
    assert "train-0 and" in found[str(published)]["examples"]["leaked_audio"][0]
