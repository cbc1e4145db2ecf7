"""The command line in this process: what it prints, how it ends. Kills and Ctrl-C are in test_runner.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.core import read_result
from tests.backend.fake_engine import refuses, says
from tests.evaluation import corpus
from tests.evaluation.scripted import Scripted, wav, words

DATASETS = """
[tiny_asr]
title = "Tiny"
table = 0
row = "Tiny"
task = "asr"
metric = "wer"
licence = "none"
fields = { id = "name" }

[tiny_talk]
title = "Tiny talk"
table = 0
row = "Tiny talk"
task = "sqa"
metric = "judge"
scale = 1
licence = "none"
fields = { id = "name", choices = "choices" }

[tiny_talk_match]
title = "Tiny talk, string match"
table = 0
row = "Tiny talk"
task = "sqa"
metric = "mmau"
licence = "none"
fields = { id = "name", choices = "choices" }
same_answers_as = "tiny_talk"
"""
SYSTEMS = """
[scripted]
title = "Scripted"
kind = "chat"
base_url = "{url}"
model = "tiny"
start = "It runs within a test."
patience = {{ tries = 2, pause_s = 0.01 }}

[judge]
title = "Judge"
kind = "chat"
base_url = "{url}"
model = "tiny"
start = "It runs within a test."
"""


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """The options that name a corpus of three clips, with and without questions."""
    for name, answer in (("tiny_asr", "clip number {}"), ("tiny_talk", "(A) clip number {}")):
        rows = [
            corpus.row(
                context={"bytes": wav(), "path": "a.wav"}, instruction=f"What is clip-{n}?",
                answer=answer.format(n), name=f"clip-{n}", choices=[answer.format(n), "(B) none"],
            )
            for n in range(3)
        ]  # fmt: skip
        corpus.write(tmp_path / "data" / name / "test-0.parquet", rows)
    (tmp_path / "datasets.toml").write_text(DATASETS)
    return ["--systems", str(tmp_path / "systems.toml"), "--datasets", str(tmp_path / "datasets.toml")]


def behind(endpoint: Scripted, tmp_path: Path) -> list[str]:
    (tmp_path / "systems.toml").write_text(SYSTEMS.format(url=endpoint.url))
    return ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]


def test_a_run_prints_a_line_for_each_result(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Scripted() as endpoint:
        where = behind(endpoint, tmp_path)
        code = main(["run", "--system", "scripted", "--dataset", "tiny_asr", *where, *tables])
    assert code == 0
    told = capsys.readouterr()
    assert told.out.startswith("scripted  tiny_asr  WER 11.11 % (")
    assert told.out.count("\n") == 1
    assert "3 answered" in told.err


def test_a_judge_rates_and_the_same_answers_are_matched_too(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratings = iter(["Rating: 1", "Rating: 0", "Rating: 1"])
    with Scripted() as endpoint:
        endpoint.script = lambda clip, _: says(
            next(ratings)
            if "Reference Answer" in endpoint.engine.exchanges[-1].body.decode()
            else words(clip)
        )
        chosen = ["--dataset", "tiny_talk_match", "tiny_talk", "--judge", "judge"]
        code = main(["run", "--system", "scripted", *chosen, *behind(endpoint, tmp_path), *tables])
        assert len(endpoint.log) == 3 + 3
    assert code == 0
    told = capsys.readouterr().out
    assert "judged by tiny at 127.0.0.1:" in told
    results = tmp_path / "out" / "scripted"
    assert read_result(results / "tiny_talk" / "result.json").value == pytest.approx(200 / 3)
    assert read_result(results / "tiny_talk_match" / "result.json").value == pytest.approx(200 / 3)
    assert not (results / "tiny_talk_match" / "answers.jsonl").exists()


def test_a_judge_that_is_away_does_not_keep_a_system_from_being_asked(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asr, judged = DATASETS.split("[tiny_talk]", 1)
    (tmp_path / "datasets.toml").write_text(f"[tiny_talk]{judged}{asr}")  # the judged one comes first
    with Scripted(lambda clip, _: says(words(clip))) as endpoint:
        where = behind(endpoint, tmp_path)
        away = ["--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "gone"]
        chosen = ["--dataset", "tiny_talk", "tiny_asr", *away]
        assert main(["run", "--system", "scripted", *chosen, *where, *tables]) == 2
    told = capsys.readouterr()
    assert "127.0.0.1:9" in told.err
    assert "tiny_asr  WER" in told.out


def test_answers_can_be_judged_later_by_any_endpoint(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Scripted() as endpoint:
        where = behind(endpoint, tmp_path)
        assert main(["run", "--system", "scripted", "--dataset", "tiny_talk", *where, *tables]) == 2
        assert "Name one with --judge" in capsys.readouterr().err
        endpoint.script = lambda clip, _: says("Rating: 1")
        code = main(["score", *where[2:], "--dataset", "tiny_talk", "--judge-url", endpoint.url, *tables])
    assert code == 0
    assert "judge 100.0 (100.0 to 100.0), 3 clips" in capsys.readouterr().out


def test_a_dry_run_asks_nothing(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Scripted() as endpoint:
        where = behind(endpoint, tmp_path)
        code = main(
            ["run", "--system", "gpt-4o-audio", "scripted", "--table", "4", "--dry-run", *where, *tables]
        )
        assert endpoint.engine.exchanges == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert lines[-1]["total"] == len(lines) - 1
    assert {line["system"] for line in lines[:-1]} == {"gpt-4o-audio", "scripted"}
    assert lines[0]["clips"] == 1_000
    assert not (tmp_path / "out").exists()


def test_one_data_set_that_fails_does_not_stop_the_others(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Scripted() as endpoint:
        where = behind(endpoint, tmp_path)
        (tmp_path / "data" / "tiny_talk" / "test-0.parquet").unlink()
        code = main(["run", "--system", "scripted", "--dataset", "tiny_talk", "tiny_asr", *where, *tables])
    assert code == 2
    told = capsys.readouterr()
    assert "error: There are no parquet files of Tiny talk" in told.err
    assert "scripted  tiny_asr  WER" in told.out


def test_an_endpoint_that_refuses_is_told_once(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Scripted(lambda clip, _: refuses(401, "no")) as endpoint:
        where = behind(endpoint, tmp_path)
        code = main(["run", "--system", "scripted", "--dataset", "tiny_talk", "tiny_asr", *where, *tables])
    assert code == 2
    told = capsys.readouterr()
    assert told.err.count("error: ") == 1
    assert "does not know the key" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--system", "nobody", "--dataset", "tiny_asr", "--out", "x"], "There is no system 'nobody'"),
        (
            ["run", "--system", "scripted", "--dataset", "nothing", "--out", "x"],
            "There is no data set nothing",
        ),
        (
            ["run", "--system", "scripted", "--dataset", "tiny_asr", "--judge", "cascade", "--out", "x"],
            "cannot judge",
        ),
        (["score", "--out", "nowhere"], "holds no answers to score"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], said: str, tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Scripted() as endpoint:
        behind(endpoint, tmp_path)
        assert main([*words, *tables]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert said in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    "words", [["run"], ["run", "--system", "a", "--dataset", "b", "--out", "x", "--limit", "0"], []]
)
def test_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: python -m evaluation" in capsys.readouterr().err


def test_the_list_shows_what_there_is_and_no_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-7")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert "OPENAI_API_KEY set" in told
    assert "GEMINI_API_KEY missing" in told
    assert "secret-7" not in told
    for name in ("meralion-audiollm", "cascade", "imda_part1_asr_test", "mmau_mini", "needs a wrapper"):
        assert name in told


def test_a_key_is_in_no_file_of_a_run(
    tables: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "secret-7")
    with Scripted(lambda clip, _: refuses(400, "what is this?")) as endpoint:
        where = behind(endpoint, tmp_path)
        rows = (
            (tmp_path / "systems.toml")
            .read_text()
            .replace('start = "It', 'key_env = "A_KEY"\nstart = "It', 1)
        )
        (tmp_path / "systems.toml").write_text(rows)
        assert main(["run", "--system", "scripted", "--dataset", "tiny_asr", *where, *tables]) == 0
        assert endpoint.engine.exchanges[0].headers["authorization"] == "bearer secret-7"
    files = [Path(root) / name for root, _, names in os.walk(tmp_path / "out") for name in names]
    assert len(files) >= 4
    assert all(b"secret-7" not in file.read_bytes() for file in files)
