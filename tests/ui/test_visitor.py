"""What a visitor shows the controller, read by the controller's own code."""

from __future__ import annotations

import time

import pytest
from starlette.requests import Request

from backend.errors import Unauthorized
from backend.identity import Callers
from backend.keys import Keys
from backend.settings import Settings
from tests.backend.fake_engine import FakeEngine
from tests.ui.conftest import tone
from ui.client import Client, new_http
from ui.local_backend import LocalBackend
from ui.settings import SettingsError, settings
from ui.visitor import LIFETIME_S, Visitor, new_name
from ui.wire import ClientError

SECRET = "a-secret-that-pages-and-controller-share"


def owner(token: str, later_s: float = 0.0) -> str:
    chosen = Settings(visitor_secret=SECRET)
    callers = Callers(chosen, Keys(chosen), clock=lambda: time.time() + later_s)
    headers = [(b"x-meralion-visitor", token.encode())]
    return callers.identify(Request({"type": "http", "headers": headers, "client": None})).owner


def test_the_controller_knows_a_visitor_by_any_of_its_tokens(monkeypatch: pytest.MonkeyPatch):
    visitor = Visitor(new_name(), SECRET)
    first = visitor.token()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3_600)
    later = visitor.token()
    monkeypatch.undo()
    assert first != later
    assert owner(first) == owner(later)
    assert owner(Visitor(new_name(), SECRET).token()) != owner(first)


def test_a_token_ends():
    token = Visitor(new_name(), SECRET).token()
    assert owner(token, LIFETIME_S - 5)
    with pytest.raises(Unauthorized):
        owner(token, LIFETIME_S + 60)


def test_without_a_secret_the_name_is_shown_and_no_secret_is_ever_printed():
    name = new_name()
    assert Visitor(name).token() == name
    assert SECRET not in repr(Visitor(name, SECRET)) + Visitor(name, SECRET).token()


def test_our_own_controller_takes_only_visitors_that_we_signed(controller: LocalBackend, engine: FakeEngine):
    name = new_name()
    with new_http() as http:
        clip = Client(controller.url, Visitor(name, controller.secret), http, local=True).upload(tone(), "a")
        for stranger in (Visitor(name), Visitor(name, SECRET)):
            with pytest.raises(ClientError) as raised:
                Client(controller.url, stranger, http, local=True).has(clip.file_id)
            assert (raised.value.status, raised.value.code) == (401, "visitor_invalid")


def test_a_secret_that_is_too_short_is_refused_and_not_shown(environment: pytest.MonkeyPatch):
    environment.setenv("MERALION_VISITOR_SECRET", "too-short")
    with pytest.raises(SettingsError, match="MERALION_VISITOR_SECRET cannot be used") as raised:
        settings()
    assert "too-short" not in str(raised.value)
    environment.setenv("MERALION_VISITOR_SECRET", SECRET)
    settings.cache_clear()
    assert settings().secret == SECRET
    assert SECRET not in repr(settings())
