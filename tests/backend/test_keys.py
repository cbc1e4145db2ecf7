"""API keys: hashed at rest, weak ones refused, and no way round them."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import keys
from backend.errors import StartError
from backend.keys import Keys, weakness
from backend.settings import Settings
from tests.backend.conftest import VISITOR, error_of, question, row, serving
from tests.backend.fake_engine import FakeEngine

GOOD = "mk-9tQ2vXkLrW8sYbN4cZpE7uHjD3mA6fGqTxR1oVi0K5e"
OTHER_GOOD = "mk-Zp4LwQ8xVn2RkTjY6sBd9cHgF1uMaE7oXiK3yWq5tN0"
SECRET = "the-host-s-secret-of-32-characters-or-more"
CHAT = "/v1/chat/completions"


def line(name: str, key: str) -> str:
    return f'{name} = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n'


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def settings(**values: Any) -> Settings:
    return Settings(**values)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A controller that wants a key."""
    folder = tmp_path_factory.mktemp("locked")
    engine = FakeEngine("tiny")
    (folder / "models.toml").write_text(row([engine.url]))
    (folder / "keys.toml").write_text(line("somebody", GOOD) + line("another", OTHER_GOOD))
    chosen = Settings(
        models=folder / "models.toml",
        api_keys_file=folder / "keys.toml",
        visitor_secret=SECRET,
        samples=folder / "manifest.json",
        cache_store="none",
    )
    with serving(chosen) as url, httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client
    engine.shut_down()


def test_the_right_key_opens_and_owns(locked: httpx.Client) -> None:
    assert locked.get("/v1/models", headers=bearer(GOOD)).status_code == 200
    assert locked.post(CHAT, json=question(), headers=bearer(OTHER_GOOD)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {GOOD}"},
        {"authorization": GOOD},
        bearer(GOOD[:-1]),
        bearer(GOOD + "x"),
        bearer(GOOD.swapcase()),
        bearer("sk-1234"),
        bearer(hashlib.sha256(GOOD.encode()).hexdigest()),
        {"x-api-key": GOOD},
        VISITOR,
        {"host": "localhost", "x-forwarded-for": "127.0.0.1", "x-forwarded-host": "127.0.0.1"},
    ],
    ids=str,
)
def test_a_missing_or_wrong_key_is_refused_in_openai_s_form(
    locked: httpx.Client, headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/v1/models"), ("POST", CHAT), ("GET", "/v1/files"), ("GET", "/no/path")):
        response = locked.request(method, path, headers=headers)
        error = error_of(response, 401)
        assert error["code"] in ("missing_api_key", "invalid_api_key", "visitor_invalid")
        assert error["type"] == "invalid_request_error"
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "target",
    [
        "//v1/models",
        "/v1//models",
        "/V1/Models",
        "/v1/models/",
        "/v1%2Fmodels",
        "/%76%31/models",
        "/healthz/../v1/models",
        "/healthz%2f..%2fv1/models",
        "/healthz/",
        "/healthz;/v1/models",
        "/v1/models?/healthz",
        "/v1/models#/healthz",
        "/./v1/models",
        "http://127.0.0.1/v1/models",
        "http://127.0.0.1/healthz/../v1/models",
        "*",
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost/healthz?", "", "evil.example", "a b"])
def test_6_no_odd_path_or_host_header_gets_past_the_key(locked: httpx.Client, target: str, host: str) -> None:
    connection = http.client.HTTPConnection(locked.base_url.host, locked.base_url.port or 80, timeout=10)
    connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", host)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status in (400, 401)
    assert b"meralion-demo" not in body


def test_only_the_sign_of_life_is_open(locked: httpx.Client) -> None:
    assert locked.get("/healthz").json()["status"] in ("ok", "starting", "degraded")
    assert locked.post("/healthz", json={}).status_code == 405


def test_the_pages_come_in_with_a_signed_token(locked: httpx.Client) -> None:
    signed = "v1.visitor-one-0123456789.99999999999"
    mac = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    assert locked.get("/v1/models", headers={"x-meralion-visitor": f"{signed}.{mac}"}).status_code == 200


def test_6_a_key_is_in_no_error_and_no_log(locked: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    almost = GOOD[:-1] + "X"
    said = [locked.get(f"/v1/models/{almost}", headers=bearer(almost)).text]
    said.append(locked.post(CHAT, json={almost: 1}, headers=bearer(GOOD)).text)
    said.append(str(dict(locked.get("/v1/models", headers=bearer(GOOD)).headers)))
    logged = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert GOOD not in "".join(said) + logged
    assert almost not in said[0] + logged


def test_without_keys_everything_is_open(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers=bearer("whatever")).status_code == 200
    assert not Keys(settings()).required


def test_every_key_is_compared_whole_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constant time is asserted by what is done, since a clock would only make a flaky test."""
    compared: list[bytes] = []

    def compare(given: bytes, digest: bytes) -> bool:
        compared.append(digest)
        return given == digest

    both = Keys(settings(api_keys=f"{GOOD}, {OTHER_GOOD}"))
    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    for key in (GOOD, OTHER_GOOD, "wrong", ""):
        compared.clear()
        assert both.admits(key) == (key in (GOOD, OTHER_GOOD))
        assert len(compared) == 2
        assert {len(digest) for digest in compared} == {32}


def test_keys_are_not_kept_as_they_are() -> None:
    held = Keys(settings(api_keys=GOOD))
    assert GOOD not in repr(vars(held))
    assert GOOD not in repr(settings(api_keys=GOOD))


@pytest.mark.parametrize(
    "weak",
    [
        "sk-1234", "changeme", "EMPTY", "none", "secret", "short-but-random-Zx81", "a" * 64, "ab" * 32,
        "0123456789abcdef" * 4, "abcdefghijklmnopqrstuvwxyz0123456789",
        "correct horse battery staple and more", "passwordpasswordpasswordpassword",
        "ключ-от-дома-который-никто-не-знает",
    ],
)  # fmt: skip
def test_weak_keys_stop_the_start(weak: str) -> None:
    assert weakness(weak)
    with pytest.raises(StartError, match=r"python -m backend\.keys new") as raised:
        Keys(settings(api_keys=weak))
    assert weak not in str(raised.value)


def test_a_well_known_example_is_found_behind_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(line("me", "sk-1234"))
    with pytest.raises(StartError, match="well-known example"):
        Keys(settings(api_keys_file=file))


@pytest.mark.parametrize("text", ["me = 1\n", 'me = "sha256:12"\n', f'me = "{GOOD}"\n', "me = \n", "\xff"])
def test_a_file_that_is_wrong_stops_the_start_without_quoting_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(StartError) as raised:
        Keys(settings(api_keys_file=file))
    assert str(file) in str(raised.value)
    assert GOOD not in str(raised.value)
    file.unlink()
    with pytest.raises(StartError, match="No such file"):
        Keys(settings(api_keys_file=file))


def test_the_file_is_read_again_when_it_changes_and_kept_when_it_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(line("one", GOOD))
    held = Keys(settings(api_keys_file=file))
    assert not held.reread()
    file.write_text(line("one", GOOD) + line("two", OTHER_GOOD))
    assert held.reread()
    assert held.admits(GOOD) and held.admits(OTHER_GOOD)
    file.write_text("broken =")
    with pytest.raises(StartError):
        held.reread()
    assert held.admits(OTHER_GOOD)
    file.write_text("# the last one was taken out\n")
    assert held.reread()
    assert held.required
    assert not held.admits(GOOD)


def test_a_new_key_is_good_and_its_line_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.main(["new", "kiosk-1"]) == 0
    _, key, _, _, row_of_file = capsys.readouterr().out.splitlines()
    assert not weakness(key)
    assert key not in row_of_file
    file = tmp_path / "keys.toml"
    file.write_text(row_of_file)
    assert Keys(settings(api_keys_file=file)).admits(key)


def test_a_key_of_one_s_own_is_hashed_unless_it_is_weak(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(GOOD + "\n"))
    assert keys.main(["hash"]) == 0
    assert json.loads(capsys.readouterr().out) == f"sha256:{hashlib.sha256(GOOD.encode()).hexdigest()}"
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-1234\n"))
    assert keys.main(["hash"]) == 2
    said = capsys.readouterr()
    assert (said.out, "well-known" in said.err) == ("", True)
    with pytest.raises(SystemExit):
        keys.main(["new", "a name with = in it"])
