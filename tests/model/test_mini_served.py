"""MERaLiON-Mini as it is shipped, served by the embedded engine and listed by every registry."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import registry
from model import mini
from model.embedded.intents import Task
from model.mini.shipped import CONFIG, WEIGHTS, Shipped
from tests.model.conftest import Engine
from tests.model.test_embedded import answer, asks, said, silence, streamed
from tests.speech import CASCADE, ROOT, sample
from ui.tasks import TASKS

MINI = "meralion-mini"
REGISTRIES = [ROOT / "backend" / "models.toml", *sorted((ROOT / "deploy").rglob("models*.toml"))]
SHIPPED = Shipped.model_validate_json((mini.WEIGHTS / CONFIG).read_bytes())
ASKED = {
    Task.TRANSLATE: "Translate this into English.",
    Task.SUMMARISE: "Please summarise this.",
    Task.ANSWER: "How long is the delay?",
    Task.SPEAKER: "Is the speaker a man or a woman?",
    Task.PERSON: "How old is the speaker?",
    Task.SOUND: "What sounds can be heard?",
}
UNMEASURED = [task for task in ASKED if task not in SHIPPED.measured.tasks]


def capabilities(engine: Engine) -> dict[str, dict[str, bool]]:
    """What each model of an engine can do."""
    cards = engine.http.get("/v1/models").json()["data"]
    return {
        card["id"]: {name: can["supported"] for name, can in card["meralion"]["capabilities"].items()}
        for card in cards
    }


@pytest.fixture(scope="module")
def without() -> Iterator[Engine]:
    started = Engine(
        MERALION_ENGINE_MINI="off", MERALION_ENGINE_WHISPER_BASE="true", MERALION_ENGINE_SPEECH="false"
    )
    yield started
    started.close()


@pytest.mark.engine
def test_a_clip_is_written_down_as_it_is_heard(engine: Engine) -> None:
    body = asks("Please transcribe this speech.", sample("sg-train"), model=MINI)
    chunks = streamed(engine, {**body, "stream_options": {"include_usage": True}})
    pieces = [piece["delta"].get("content") for chunk in chunks for piece in chunk["choices"]]
    assert len([piece for piece in pieces if piece]) > 10
    *_, last, usage = chunks
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["meralion"]["timing"]["asr_ms"] > 0 and last["meralion"]["timing"]["llm_ms"] > 0
    assert usage["usage"]["completion_tokens"] > 10
    assert said(engine, body) == "".join(piece or "" for piece in pieces).rstrip()


@pytest.mark.engine
def test_a_question_is_answered_with_what_was_heard(engine: Engine) -> None:
    clip = sample("sg-train")
    heard = said(engine, asks("Please transcribe this speech.", clip, model=MINI))
    chunks = streamed(engine, asks("How long is the delay?", clip, model=MINI))
    told = [chunk.get("meralion", {}).get("heard") for chunk in chunks]
    assert "".join(piece or "" for piece in told).strip() == heard.strip()
    words = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    quote, _, own = "".join(words).partition("\n\n")
    assert quote.startswith("In the clip: “") and "twenty minutes" in quote
    assert "wenty minutes" in own
    dialogue = said(
        engine, asks("What is the problem with the payment page?", sample("sg-meeting"), model=MINI)
    )
    assert dialogue.startswith("In the clip: “") and "<Speaker" not in dialogue


@pytest.mark.engine
def test_openai_s_transcription_route_takes_it(engine: Engine) -> None:
    clip = {"file": sample("sg-train")}
    form = {"model": MINI, "response_format": "verbose_json"}
    told = engine.http.post("/v1/audio/transcriptions", files=clip, data=form).json()
    assert told["language"] == "en" and len(told["text"]) > 20
    times = [time for segment in told["segments"] for time in (segment["start"], segment["end"])]
    assert times and times == sorted(times) and times[-1] <= told["duration"]


@pytest.mark.engine
@pytest.mark.parametrize("task", UNMEASURED)
def test_what_it_was_not_measured_on_is_refused_in_words(engine: Engine, task: Task) -> None:
    found = answer(engine, asks(ASKED[task], sample("sg-train"), model=MINI))
    text = found["choices"][0]["message"]["content"]
    assert text.startswith("I cannot do that yet. ") and "Ask me to transcribe the clip" in text
    assert found["usage"]["completion_tokens"] == 0


@pytest.mark.engine
def test_what_a_page_offers_with_one_click_is_not_refused(engine: Engine) -> None:
    able = capabilities(engine)[MINI]
    offered = [task for task in TASKS if able[task.capability]]
    assert {"transcribe", "answer"} <= {task.name for task in offered}
    for task in offered:
        text = said(engine, asks(task.prompt, sample("sg-train"), model=MINI))
        assert not text.startswith("I cannot do that yet."), task.prompt


@pytest.mark.engine
def test_a_conversation_without_a_clip_is_told_to_send_one(engine: Engine) -> None:
    assert "there is no clip. Send one" in said(engine, asks("Hello", model=MINI))


@pytest.mark.engine
@pytest.mark.skipif(Task.TRANSLATE in SHIPPED.measured.tasks, reason="it was measured how it translates")
def test_a_translation_that_was_not_measured_names_who_can(engine: Engine) -> None:
    reply = engine.http.post(
        "/v1/audio/translations", files={"file": sample("sg-train")}, data={"model": MINI}
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "capability_missing")
    assert reply.json()["error"]["message"].endswith(f"Use '{CASCADE}'.")


@pytest.mark.engine
def test_a_language_that_it_was_not_measured_on_is_refused(engine: Engine) -> None:
    form = {"model": MINI, "language": "zh"}
    reply = engine.http.post("/v1/audio/transcriptions", files={"file": silence(1)}, data=form)
    assert reply.status_code == 400
    assert f"this model knows: {', '.join(SHIPPED.measured.languages)}" in reply.json()["error"]["message"]


@pytest.mark.engine
def test_the_engine_says_what_it_was_measured_on(engine: Engine) -> None:
    able = capabilities(engine)[MINI]
    assert {task for task in Task if able[task]} == set(SHIPPED.measured.tasks)
    assert able["chat"] == able[Task.TALK]


@pytest.mark.engine
def test_it_can_be_left_out(without: Engine) -> None:
    assert MINI not in capabilities(without)
    reply = without.http.post("/v1/chat/completions", json=asks("Hello", model=MINI))
    assert reply.status_code == 404
    assert f"'{CASCADE}' or 'whisper-base'" in reply.json()["error"]["message"]


@pytest.mark.engine
def test_whisper_base_alone_writes_down_and_translates_and_no_more(without: Engine) -> None:
    able = capabilities(without)["whisper-base"]
    assert {name for name, can in able.items() if can} == {"transcribe", "translate"}
    clip = sample("sg-train")
    for question in ("Please transcribe this speech.", "Translate into English.", "Translate into Tamil."):
        assert said(without, asks(question, clip, model="whisper-base")) == said(
            without, asks(question, clip)
        )
    refusal = said(without, asks("How long is the delay?", clip, model="whisper-base"))
    assert "it does not answer questions" in refusal


@pytest.mark.parametrize("written", ["of", ""])
def test_a_folder_that_is_not_there_stops_the_start_in_a_sentence(written: str) -> None:
    said = refused(written)
    assert f"MERALION_ENGINE_MINI: there is no folder '{written}'; write packaged, off," in said


def test_a_folder_without_a_model_stops_the_start_in_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "My Model"
    folder.mkdir()
    assert f"{folder}/config.json cannot be read: No such file" in refused(str(folder))
    config = json.loads((mini.WEIGHTS / CONFIG).read_text("utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, "stack": 7}))
    (folder / WEIGHTS).symlink_to(mini.WEIGHTS / WEIGHTS)
    assert "stack is 7; it must divide 1,500 states evenly" in refused(str(folder))


def refused(folder: str) -> str:
    """What an engine with this folder says before it ends with 2."""
    engine = subprocess.run(
        [sys.executable, "-m", "model.embedded", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "MERALION_ENGINE_MINI": folder},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (engine.returncode, engine.stdout) == (2, "")
    assert "Traceback" not in engine.stderr
    return engine.stderr


@pytest.mark.parametrize("file", REGISTRIES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_registry_s_row_is_what_was_shipped(file: Path) -> None:
    row = registry.load(file)[MINI]
    able = {name for name, can in row.capability_card().items() if can["supported"]}
    measured = {"chat" if task is Task.TALK else str(task) for task in SHIPPED.measured.tasks}
    assert able == measured, "measured.tasks of model/mini/weights/config.json says what it can"
    assert row.languages == list(SHIPPED.measured.languages)
    digest = hashlib.sha256((mini.WEIGHTS / CONFIG).read_bytes() + (mini.WEIGHTS / WEIGHTS).read_bytes())
    assert row.revision == digest.hexdigest()[:8], (
        "answers of other weights would be kept: cat model/mini/weights/{config.json,model.safetensors} | "
        "sha256sum | head -c 8"
    )
