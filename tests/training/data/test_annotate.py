"""Annotation against an endpoint that misbehaves: all is counted, nothing asked twice, the bytes the same."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.bad_endpoint import Answer, served
from tests.training.data.small_corpus import write_corpus
from training.config import dump
from training.data.annotate import asking
from training.data.annotate import endpoint as endpoint_module
from training.data.annotate.__main__ import main
from training.data.annotate.build import annotate, planned
from training.data.annotate.config import Annotation, Endpoint
from training.data.annotate.endpoint import Reply
from training.data.annotate.log import AnswerLog
from training.data.annotate.questions import Question
from training.data.schema import read_index, read_shard, shards
from training.errors import ConfigError, DataError

DEMO_PYTHON = Path(".venv/bin/python").absolute()
SAID = "Uncle Tan bought three packets of chicken rice at the hawker centre because it was raining."
TALK = (
    "<Speaker1>: Did you see my blue umbrella? <Speaker2>: I think Siti took it to the library. "
    "<Speaker1>: Oh no, I need it on Friday. <Speaker2>: Then call her quickly."
)
QUESTION = json.dumps({"question": "What did Uncle Tan buy?", "answer": "Three packets of chicken rice."})
SUMMARY = json.dumps({"summary": "An umbrella is missing, and Siti took it to the library."})
FACTS = json.dumps({"question": "Who took the umbrella?", "answer": "Siti took it."})


def good(prompt: str, times: int) -> Answer:
    if "summarise a conversation" in prompt:
        return SUMMARY
    if "natural English sentence" in prompt:
        label = re.search(r"(?:is a|has a) ([\w ]+?)(?: accent)?\. Do not", prompt)
        assert label
        what = "accent" if "accent" in prompt else "voice"
        number = re.search(r"number (\d)", prompt)
        assert number
        return f"This is number {number[1]}, the {label[1]} {what}."
    return FACTS if "umbrella" in prompt else QUESTION


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "id": f"s{n}",
            "answer": f"{SAID} {n}",
            "sexes": ["female" if n % 2 else "male"],
            "accents": ["Malay"],
        }
        for n in range(6)
    ]
    rows.append({"id": "talk", "answer": TALK, "sexes": ["female", "male"], "accents": ["Chinese", "Indian"]})
    rows.append({"id": "short", "answer": "Okay lah."})
    rows.append({"id": "other", "answer": "Chicken rice.", "task": "sqa"})
    return write_corpus(tmp_path_factory.mktemp("corpus"), [rows[:4], rows[4:]])


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "FIRST_WAIT", 0.01)


def config(corpus: Path, out: Path, url: str, **changes: Any) -> Annotation:
    how = {"at_once": 4, "timeout_s": 5.0, "attempts": 3} | changes.pop("endpoint", {})
    return Annotation(
        corpus, out, Endpoint(url, "tiny", **how), phrasings=changes.pop("phrasings", 2), **changes
    )


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for path in shards(out, "train") for row in read_shard(path).to_pylist()]


def bytes_of(out: Path) -> dict[str, str]:
    """All that an annotation makes, but the logs, whose lines come in the order of the replies."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.parent.name != "answers" and path.name != ".lock"
    }


def test_questions_summaries_and_speakers_become_rows_with_their_sound(corpus: Path, tmp_path: Path) -> None:
    with served(good) as endpoint:
        figures = annotate(config(corpus, tmp_path, endpoint.url, accents={"Malay": "Singaporean Malay"}))
    rows = rows_of(tmp_path)
    tasks = [row["task"] for row in rows]
    assert {task: tasks.count(task) for task in set(tasks)} == {"sqa": 7, "sds": 1, "gender": 7, "accent": 7}
    assert (figures["rows"], figures["dropped"], figures["unanswered"]) == (22, 0, 0)
    by_id = {row["id"]: row for row in rows}
    assert by_id["s0-sqa"]["instruction"].endswith("What did Uncle Tan buy?")
    assert by_id["s0-sqa"]["answer"] == "Three packets of chicken rice."
    assert by_id["talk-sds"]["answer"] == "An umbrella is missing, and Siti took it to the library."
    assert by_id["talk-gender"]["answer"] == "The first speaker is a woman and the second speaker is a man."
    assert "Singaporean Malay" in by_id["s1-accent"]["answer"]
    assert "woman" in by_id["s1-gender"]["answer"] and "woman" not in by_id["s0-gender"]["answer"]
    source = {row["id"]: row for path in shards(corpus, "train") for row in read_shard(path).to_pylist()}
    assert by_id["s0-sqa"]["context"]["bytes"] == source["s0"]["context"]["bytes"]
    index = {entry["id"]: entry for entry in read_index(tmp_path).to_pylist()}
    assert index.keys() == by_id.keys()
    assert index["talk-sds"]["sexes"] == ["female", "male"]
    assert json.loads((tmp_path / "report.json").read_text())["unknown"] == {"accent": 1, "gender": 1}
    assert "| train | sqa | 7 |" in (tmp_path / "card.md").read_text()


def test_as_many_are_asked_side_by_side_as_the_config_says(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c", [[{"id": f"s{n}", "answer": f"{SAID} {n}"} for n in range(12)]])

    def in_company(prompt: str, times: int) -> Answer:
        until = time.monotonic() + 5
        while endpoint.most_open < 3 and time.monotonic() < until:
            time.sleep(0.005)
        return good(prompt, times)

    with served(in_company) as endpoint:
        annotate(config(corpus, tmp_path / "out", endpoint.url, endpoint={"at_once": 3}))
        assert endpoint.most_open == 3


def test_nothing_is_asked_twice_and_the_logs_alone_make_the_rows(corpus: Path, tmp_path: Path) -> None:
    with served(good) as endpoint:
        annotate(config(corpus, tmp_path, endpoint.url))
        first = bytes_of(tmp_path)
        for made in ("train/00000.parquet", "report.json", "index.parquet"):
            (tmp_path / made).unlink()
        again = annotate(config(corpus, tmp_path, endpoint.url))
        assert again["asked_now"] == 0
        assert set(endpoint.prompts.values()) == {1}
        assert planned(config(corpus, tmp_path, endpoint.url))["requests"] == 0
    assert bytes_of(tmp_path) == first


def test_killed_twice_it_ends_with_the_same_bytes_and_asks_no_answered_question_again(
    corpus: Path, tmp_path: Path
) -> None:
    def slow(prompt: str, times: int) -> Answer:
        time.sleep(0.05)
        return good(prompt, times)

    with served(good) as endpoint:
        annotate(config(corpus, tmp_path / "whole", endpoint.url))
    with served(slow) as endpoint:
        killed = config(corpus, tmp_path / "killed", endpoint.url, endpoint={"at_once": 1})
        path = tmp_path / "annotate.yaml"
        path.write_text(dump(killed))
        command = [sys.executable, "-m", "training.data.annotate", "--config", str(path)]
        for enough in (3, 9):
            run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while endpoint.prompts.total() < enough:
                assert run.poll() is None
                time.sleep(0.01)
            run.send_signal(signal.SIGKILL)
            run.wait()
        log = max((tmp_path / "killed/answers").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        with log.open("ab") as file:
            file.write(b'{"key": "half a li')  # as a kill within a write leaves it
        annotate(killed)
        # What was on its way when it was killed may be asked again, and nothing else.
        assert sum(endpoint.prompts.values()) <= len(endpoint.prompts) + 2
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "whole")


def test_a_busy_or_broken_endpoint_is_asked_again(corpus: Path, tmp_path: Path) -> None:
    def busy(prompt: str, times: int) -> Answer:
        if times > 2:
            return good(prompt, times)
        return (429, 503)[times - 1] if "umbrella" in prompt else b"<html>Bad gateway</html>"

    with served(busy) as endpoint:
        figures = annotate(config(corpus, tmp_path, endpoint.url))
        assert set(endpoint.prompts.values()) == {3}
    assert (figures["rows"], figures["failures_now"]) == (22, {})


def test_each_way_of_failing_is_named_and_counted(tmp_path: Path) -> None:
    failures: dict[str, Answer] = {
        "0": 1.5,
        "1": 500,
        "2": b'{"choices": []}',
        "3": "",
        "4": "x" * 50_000,
        "5": "I'm sorry, but I can't help with that.",
        "6": 400,
    }

    def failing(prompt: str, times: int) -> Answer:
        return failures[prompt.split()[-1]]

    corpus = write_corpus(tmp_path / "c", [[{"id": f"s{n}", "answer": f"{SAID} {n}"} for n in range(7)]])
    changes = {"tasks": ("sqa",), "endpoint": {"timeout_s": 0.4, "attempts": 2}}
    with served(failing) as endpoint:
        figures = annotate(config(corpus, tmp_path / "out", endpoint.url, **changes))
    assert figures["failures_now"] == {"timeout": 1, "http_500": 1, "http_400": 1, "not_openai": 1}
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["dropped"] == {"sqa/empty": 1, "sqa/refusal": 1, "sqa/too_long": 1}
    assert (report["judged"], report["unanswered"]) == (3, 4)
    assert report["examples"]["refusal"] == ["s5: I'm sorry, but I can't help with that."]
    assert not shards(tmp_path / "out", "train")


def test_an_endless_reply_is_left(corpus: Path, tmp_path: Path) -> None:
    with served(lambda prompt, times: b"[" + b" " * (3 * endpoint_module.LONGEST_BODY)) as endpoint:
        annotate(config(corpus, tmp_path, endpoint.url, tasks=("sds",)))
        assert endpoint.prompts.total() == 1
    assert json.loads((tmp_path / "report.json").read_text())["dropped"] == {"sds/too_long": 1}


def test_an_endpoint_that_is_not_there_ends_the_run_in_a_sentence(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asking, "GIVE_UP_AFTER", 3)
    path = tmp_path / "annotate.yaml"
    path.write_text(dump(config(corpus, tmp_path / "out", "http://127.0.0.1:9/v1")))
    assert main(["--config", str(path)]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error: http://127.0.0.1:9/v1 left 3 questions in a row without an answer")
    assert "no_connection" in error


@pytest.mark.parametrize(("status", "said"), [(401, "another key"), (404, "no such address or model")])
def test_an_endpoint_that_refuses_all_is_not_asked_on(
    corpus: Path, tmp_path: Path, status: int, said: str
) -> None:
    with served(lambda prompt, times: status) as endpoint:
        with pytest.raises(DataError, match=said):
            annotate(config(corpus, tmp_path, endpoint.url))
        assert endpoint.prompts.total() <= 4


def test_the_key_is_sent_and_never_written(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"tasks": ("sds",), "endpoint": {"key_variable": "TEST_KEY"}}
    with served(good) as endpoint:
        monkeypatch.delenv("TEST_KEY", raising=False)
        with pytest.raises(ConfigError, match="TEST_KEY holds no key"):
            annotate(config(corpus, tmp_path, endpoint.url, **changes))
        monkeypatch.setenv("TEST_KEY", "sk-secret-123")
        with caplog.at_level(logging.DEBUG):
            annotate(config(corpus, tmp_path, endpoint.url, **changes))
        assert endpoint.keys == {"Bearer sk-secret-123"}
    assert not any(b"sk-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert "sk-secret" not in caplog.text


def test_another_config_does_not_mix_with_what_is_there(corpus: Path, tmp_path: Path) -> None:
    with served(good) as endpoint:
        annotate(config(corpus, tmp_path, endpoint.url, tasks=("sds",)))
        # Where the endpoint is and how it is asked may change, not what is made.
        annotate(config(corpus, tmp_path, f"{endpoint.url}/", tasks=("sds",), endpoint={"at_once": 1}))
        with pytest.raises(DataError, match="made by another config"):
            annotate(config(corpus, tmp_path, endpoint.url, tasks=("sqa",)))
    (tmp_path / "answers/train-00000.jsonl").write_text("no JSON\n")
    with pytest.raises(DataError, match=r"Line 1 of .*train-00000.jsonl"):
        annotate(config(corpus, tmp_path, "http://127.0.0.1:9/v1", tasks=("sds",)))


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path / "log.jsonl")
    log.path.symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device"):
        log.add("key", Question("row", "sqa", "prompt"), "tiny", Reply("Yes."))
    assert "key" not in log


def test_a_dry_run_says_what_would_be_asked(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "annotate.yaml"
    path.write_text(dump(config(corpus, tmp_path / "out", "http://127.0.0.1:9/v1")))
    assert main(["--config", str(path), "--dry-run", "--set", "phrasings=3"]) == 0
    told = json.loads(capsys.readouterr().out)
    # Seven questions, a summary, and three sentences each for two genders and three accents.
    assert (told["requests"], told["answered_before"]) == (8 + 3 * 5, 0)
    assert told["completion_tokens_at_most"] == told["requests"] * 256
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.skipif(not DEMO_PYTHON.exists(), reason="needs the demo's environment: make demo")
def test_the_project_s_own_engine_is_an_endpoint(corpus: Path, tmp_path: Path) -> None:
    """Its small language model answers mostly nonsense, which must all be accounted for."""
    command = [str(DEMO_PYTHON), "-m", "model.embedded", "--port", "0"]
    environment = os.environ | {"MERALION_EXIT_WITH_PARENT": "1", "MERALION_ENGINE_SPEECH": "0"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as engine:
        assert engine.stdin and engine.stdout
        try:
            port = json.loads(engine.stdout.readline())["port"]
            url = f"http://127.0.0.1:{port}/v1"
            how = {"at_once": 2, "timeout_s": 60.0, "max_tokens": 40}
            out = tmp_path / "out"
            settings = Annotation(corpus, out, Endpoint(url, "whisper-base-smollm2", **how), phrasings=0)
            figures = annotate(settings)
        finally:
            engine.terminate()
    report = json.loads((out / "report.json").read_text())
    asked = {task: count for task, count in report["rows"].items() if task in ("train/sqa", "train/sds")}
    assert figures["failures_now"] == {}
    assert sum(asked.values()) + sum(report["dropped"].values()) == report["judged"] == 8
    assert report["unanswered"] == 0
