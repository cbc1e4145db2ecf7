"""Who asks: signed visitors, bearers of keys, addresses; and that one never gets at what is another's."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from backend import settings as setting
from backend.errors import InvalidRequest, StartError, Unauthorized
from backend.identity import ANONYMOUS, Caller, Callers
from backend.keys import Keys
from backend.settings import Settings
from tests.backend.conftest import OTHER, VISITOR, Start, error_of, row
from tests.backend.fake_engine import FakeEngine
from tests.model import clips

SECRET = "the-host-s-secret-of-32-characters-or-more"
NOW = 1_800_000_000.0
ID = "visitor-one-0123456789"


def token(identifier: str = ID, expiry: float = NOW + 600, secret: str = SECRET, version: str = "v1") -> str:
    signed = f"{version}.{identifier}.{int(expiry)}"
    return f"{signed}.{hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()}"


def asked(*headers: tuple[str, str], peer: str = "203.0.113.9") -> Request:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "headers": raw, "client": (peer, 1)})


def identify(*headers: tuple[str, str], peer: str = "203.0.113.9", **values: Any) -> Caller:
    settings = Settings(**values)
    return Callers(settings, Keys(settings), clock=lambda: NOW).identify(asked(*headers, peer=peer))


def visitor(text: str, **values: Any) -> Caller:
    return identify(("x-meralion-visitor", text), **values)


def test_a_renewed_token_is_the_same_visitor() -> None:
    first = visitor(token(), visitor_secret=SECRET)
    later = visitor(token(expiry=NOW + 1_200), visitor_secret=SECRET)
    assert first == later
    assert (first.kind, first.signed, first.counted_as) == ("visitor", True, first.owner)
    assert visitor(token("visitor-two-0123456789"), visitor_secret=SECRET).owner != first.owner
    assert ID not in repr(first)


@pytest.mark.parametrize(
    "wrong",
    [
        ID,
        token(secret=SECRET + "x"),
        token(version="v2"),
        token()[:-1],
        token()[:-1] + "A",
        token() + "0",
        token().upper(),
        token("visitor-two-0123456789").rpartition(".")[0] + "." + token().rpartition(".")[2],
        token(identifier="short"),
        f"v1.{ID}.{int(NOW)}é.{'0' * 64}",
        f"v1.{ID}.-5.{'0' * 64}",
        f"v1.{ID}..{'0' * 64}",
        "v1." + "x" * 60_000,
        "....",
        "",
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_signed_by_us_is_refused(wrong: str) -> None:
    with pytest.raises(Unauthorized) as raised:
        visitor(wrong, visitor_secret=SECRET)
    assert raised.value.code == "visitor_invalid"
    assert raised.value.headers == {"WWW-Authenticate": "Bearer"}
    assert SECRET not in raised.value.message


def test_an_expired_token_is_refused_but_for_clocks_that_are_a_little_apart() -> None:
    assert visitor(token(expiry=NOW - 20), visitor_secret=SECRET).signed
    with pytest.raises(Unauthorized) as raised:
        visitor(token(expiry=NOW - 31), visitor_secret=SECRET)
    assert raised.value.code == "visitor_expired"


def test_without_a_secret_a_random_name_is_enough_and_proves_nothing() -> None:
    plain = visitor(ID)
    assert (plain.kind, plain.signed) == ("visitor", False)
    assert plain.counted_as.startswith("address-")
    assert visitor("another-name-0123456789").counted_as == plain.counted_as
    with pytest.raises(InvalidRequest):
        visitor("short")


def test_a_short_secret_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERALION_VISITOR_SECRET", "too-short")
    with pytest.raises(StartError, match="shorter than 32 characters") as raised:
        setting.load()
    assert "too-short" not in str(raised.value)


def test_callers_without_a_name_are_told_apart_by_their_address() -> None:
    one, other = identify(peer="203.0.113.9"), identify(peer="203.0.113.10")
    assert one.kind == "anonymous"
    assert one.owner.startswith(ANONYMOUS)
    assert one.owner != other.owner
    assert one == identify(peer="::ffff:203.0.113.9")
    assert "203.0.113" not in repr(one)
    assert identify(peer="2001:db8::1") == identify(peer="2001:db8::2")  # one home
    assert identify(peer="2001:db8::1") != identify(peer="2001:db8:0:1::1")
    keyed = Settings(visitor_secret=SECRET)
    assert Callers(keyed, Keys(keyed)).identify(asked()).owner != one.owner


def forwarded(*values: str, peer: str = "10.0.0.5", trusted: str = "10.0.0.0/8") -> str:
    headers = [("X-Forwarded-For", value) for value in values]
    return identify(*headers, peer=peer, trusted_proxies=trusted).owner


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7:4711"], "198.51.100.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["1.2.3.4, 198.51.100.7"], "198.51.100.7"),  # what stands before was said by the client itself
        (["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, 10.0.0.6"], "198.51.100.7"),
        (["198.51.100.7, nonsense"], "10.0.0.5"),
        (["127.0.0.1, unknown, "], "10.0.0.5"),
        ([], "10.0.0.5"),
        ([", ".join(["10.0.0.6"] * 5_000)], "10.0.0.6"),
    ],
)
def test_a_trusted_proxy_is_believed_as_far_as_it_saw(values: list[str], client: str) -> None:
    assert forwarded(*values) == identify(peer=client).owner


def test_nobody_else_is_believed() -> None:
    assert forwarded("198.51.100.7", peer="192.0.2.1") == identify(peer="192.0.2.1").owner
    assert identify(("X-Forwarded-For", "198.51.100.7"), peer="127.0.0.1") == identify(peer="127.0.0.1")


def test_the_server_itself_believes_no_header(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), requests_per_minute=1)
    codes = [
        client.post("/v1/files", headers={"x-forwarded-for": f"198.51.100.{number}"}).status_code
        for number in range(3)
    ]
    assert codes == [415, 429, 429]


def test_6_tenancy_over_the_wire_with_signed_tokens(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), visitor_secret=SECRET)
    mine = {"x-meralion-visitor": token(expiry=NOW * 2)}
    renewed = {"x-meralion-visitor": token(expiry=NOW * 2 + 60)}
    other = {"x-meralion-visitor": token("visitor-two-0123456789", expiry=NOW * 2)}
    sent = client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}, headers=mine)
    path = f"/v1/files/{sent.json()['id']}"
    assert client.get(path, headers=renewed).status_code == 200
    assert client.get(path, headers=other).status_code == 404
    assert error_of(client.get(path, headers=VISITOR), 401)["code"] == "visitor_invalid"
    stale = {"x-meralion-visitor": token(expiry=1_000)}
    assert error_of(client.get(path, headers=stale), 401)["code"] == "visitor_expired"


ORIGIN = {"origin": "https://pages.example"}


def test_6_no_other_page_reads_us_by_default(client: httpx.Client) -> None:
    response = client.get("/v1/models", headers=ORIGIN)
    assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = client.options("/v1/files", headers={**ORIGIN, "access-control-request-method": "POST"})
    assert preflight.status_code == 405


def test_6_pages_that_are_listed_may_and_no_others(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), cors_origins=("https://pages.example",), visitor_secret=SECRET)
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-meralion-visitor"}
    preflight = client.options("/v1/files", headers={**ORIGIN, **asks})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://pages.example"
    refused = client.get("/v1/models", headers={**ORIGIN, **OTHER})
    assert error_of(refused, 401)
    assert refused.headers["access-control-allow-origin"] == "https://pages.example"  # so it can be read
    assert "retry-after" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in refused.headers
    stranger = client.get("/v1/models", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers
