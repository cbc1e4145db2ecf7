"""The page with nothing set: it starts its own controller, which starts the real engine."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from samples import wer
from ui import connection
from ui.settings import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_a_sample_is_asked_about_while_the_model_is_still_starting(environment: pytest.MonkeyPatch):
    page = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=120)
    try:
        page.run()
        page.button(key="sample_st-weather").click().run()
        page.button(key="ask").click().run()
        assert not page.exception
        assert not page.error
        manifest = json.loads((ROOT / "samples" / "manifest.json").read_text())
        expected = next(row["transcript"] for row in manifest["samples"] if row["id"] == "st-weather")
        wrong, of = wer.errors(wer.align(expected, page.text[-1].value))
        assert wrong / of <= 0.2
    finally:
        connection._local_backend().close()
