"""The pages in front of a real controller process, in front of an engine that does as it is told."""

from __future__ import annotations

import io
import os
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.backend.fake_engine import FakeEngine, says
from tests.ui import cascading
from ui import connection, event
from ui.client import Client, new_http
from ui.local_backend import LocalBackend
from ui.settings import ROOT, settings
from ui.visitor import Visitor

REGISTRY = """
[tiny]
title = "Tiny"
sentence = "A model for tests."
kind = "chat"
engine = "openai"
instances = ["{url}"]
default = true
licence = "MIT"
max_audio_seconds = 120

[tiny.capabilities]
transcribe = true
translate = true
summarise = true
answer = true
chat = true
speaker = "It hears words, not voices."
sound = "It hears words, not noises."
speech = "It writes only."
"""
NAME = "visitor-of-the-ui-tests"
ANSWER = ("Two ", "kopi, ", "please.")


def tone(seconds: float = 2.0, loudness: float = 0.3) -> bytes:
    """A clip that a model can be asked about: WAV, 16 kHz, mono."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    pcm = (np.sin(2 * np.pi * 330 * time) * loudness * 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(pcm.tobytes())
    return file.getvalue()


@pytest.fixture(scope="session")
def _fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine("tiny")
    yield engine
    engine.shut_down()


@pytest.fixture
def engine(_fake_engine: FakeEngine) -> FakeEngine:
    """The engine behind the controller, saying ANSWER unless a test scripts something else."""
    _fake_engine.script.clear()
    _fake_engine.exchanges.clear()
    _fake_engine.default = says(*ANSWER, heard=("dua ", "kopi"))
    return _fake_engine


@pytest.fixture(scope="session")
def controller(_fake_engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBackend]:
    """`python -m backend`, started as the pages start it."""
    registry = tmp_path_factory.mktemp("registry") / "models.toml"
    registry.write_text(REGISTRY.format(url=_fake_engine.url))
    # What one test does to the engine shall not keep it from the next.
    chosen = {"MERALION_MODELS": str(registry), "MERALION_BREAKER_OPEN_S": "0.1"}
    os.environ.update(chosen)
    backend = LocalBackend(ROOT, start_timeout_s=30)
    backend.url()
    for name in chosen:
        del os.environ[name]
    yield backend
    backend.close()


@pytest.fixture
def client(controller: LocalBackend, engine: FakeEngine) -> Iterator[Client]:
    with new_http() as http:
        yield Client(controller.url, Visitor(NAME, controller.secret), http, local=True)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment for the pages that a test may change; nothing of it is left for the next."""
    for name in [name for name in os.environ if name.startswith("MERALION")]:
        monkeypatch.delenv(name)
    _forget()
    yield monkeypatch
    _forget()


@pytest.fixture
def page(
    controller: LocalBackend, engine: FakeEngine, environment: pytest.MonkeyPatch
) -> Callable[[], AppTest]:
    """A function that opens the demo in a new session."""
    environment.setenv("MERALION_BACKEND_URL", controller.url())
    environment.setenv("MERALION_VISITOR_SECRET", controller.secret)

    def open_page() -> AppTest:
        settings.cache_clear()
        test = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=20)
        test.run()
        assert not test.exception, test.exception
        return test

    return open_page


@pytest.fixture
def endpoint() -> Iterator[FakeEngine]:
    """A text model of somebody else's, for the cascade."""
    engine = FakeEngine("large")
    engine.default = says("From ", "far away.")
    yield engine
    engine.shut_down()


@pytest.fixture
def cascade(
    page: Callable[[], AppTest],
    engine: FakeEngine,
    endpoint: FakeEngine,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[[], AppTest]:
    """A function that opens the Cascade page with a clip, which has been listened to."""
    rows = tmp_path / "rows.toml"
    rows.write_text(cascading.ROWS.format(url=endpoint.url))
    environment.setenv("MERALION_UI_ENDPOINTS", str(rows))
    engine.default = cascading.answers("heard these words", "from the sound", "from the words")

    def open_page() -> AppTest:
        test = page().switch_page("pages/2_Cascade.py").run()
        test.file_uploader[0].set_value(("clip.wav", tone(2.5), "audio/wav")).run()
        assert not test.exception, test.exception
        return test

    return open_page


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """A function that makes a command of a few lines of Python, to stand where `python -m backend` stands."""

    def make(text: str) -> tuple[str, ...]:
        file = tmp_path / "stand_in.py"
        file.write_text(text)
        return (sys.executable, str(file))

    return make


def _forget() -> None:
    settings.cache_clear()
    connection._models.clear()
    event._decisions.clear()
    connection._http.clear()
    connection._local_backend.clear()
