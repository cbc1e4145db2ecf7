"""A setting of the vLLM server that cannot be meant stops the start, in words."""

from __future__ import annotations

import pytest

from model.settings import SettingsError
from model.vllm_plugin import settings


def test_what_is_not_said_is_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERALION_VLLM_WINDOWS_AT_ONCE", "2")
    read = settings.load()
    assert (read.max_body_mb, read.max_transcription_seconds, read.windows_at_once) == (128, 7_200, 2)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MERALION_VLLM_MAX_BODY", "9", r"MAX_BODY is not a setting of the vLLM server.*MAX_BODY_MB\?"),
        ("MERALION_VLLM_MAX_BODY_MB", "0", r"MERALION_VLLM_MAX_BODY_MB: .*greater than or equal to 1"),
        ("MERALION_VLLM_WINDOWS_AT_ONCE", "few", r"WINDOWS_AT_ONCE: .*integer"),
    ],
)
def test_a_slip_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words):
        settings.load()
