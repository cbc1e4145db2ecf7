"""3. `audio_url`: off by default; when on, no way leads to an address that is not public."""

from __future__ import annotations

import asyncio
import base64
import functools
import ipaddress
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import controller
from backend.errors import ControllerError, InvalidRequest
from backend.public_address import Address, is_public
from backend.remote_audio import RemoteAudio
from backend.settings import Settings
from tests.backend.conftest import Start, error_of, question, row
from tests.backend.fake_engine import FakeEngine, sends
from tests.backend.media_host import Answer, Resolver, media_host, replies, tls_for
from tests.model import clips

CHAT = "/v1/chat/completions"
WAV = clips.plain_wav(0.5)
PUBLIC, HOME = "93.184.215.14", "127.0.0.1"


def by_url(url: str) -> dict[str, Any]:
    return {"type": "audio_url", "audio_url": {"url": url}}


def as_data(url: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}}


def loopback_too(address: Address) -> bool:
    return str(address) == HOME or is_public(address)


def fetching(
    answer: Answer,
    url: str = "http://media.example:{port}/a.wav",
    resolver: Resolver | None = None,
    **values: Any,
) -> bytes:
    """Fetch from a host on loopback, which is only allowed because a test says so."""

    async def main() -> bytes:
        async with media_host(answer) as port:
            settings = Settings(**{"audio_url_hosts": (f"media.example:{port}",), **values})
            names = resolver or Resolver(media_example=[[HOME]])
            remote = RemoteAudio(settings, allow=loopback_too, resolve=names)
            try:
                return await remote.fetch(url.format(port=port))
            finally:
                remote.close()

    return asyncio.run(main())


def refusal(*arguments: Any, **values: Any) -> ControllerError:
    with pytest.raises(InvalidRequest) as raised:
        fetching(*arguments, **values)
    return raised.value


@pytest.mark.parametrize("part", [by_url, as_data])
@pytest.mark.parametrize(
    "url", ["https://media.example/a.wav", "file:///etc/passwd", "ftp://media.example/a"]
)
def test_3_off_by_default_and_says_what_to_do(client: httpx.Client, part: Any, url: str) -> None:
    error = error_of(client.post(CHAT, json=question("hi", part(url))), 400)
    assert error["code"] == "audio_url_off"
    assert "/v1/files" in error["message"]
    assert error["param"].startswith("messages[0].content[0].")


def test_a_recording_in_a_data_url_needs_no_fetching(client: httpx.Client) -> None:
    held = by_url("data:audio/wav;base64," + base64.b64encode(WAV).decode())
    assert client.post(CHAT, json=question("hi", held)).status_code == 200


def test_a_listed_host_is_fetched_from() -> None:
    seen: dict[str, str] = {}

    async def answer(path: str, asked: dict[str, str], writer: asyncio.StreamWriter) -> None:
        seen.update(asked, path=path)
        await replies(200, WAV)(path, asked, writer)

    assert fetching(answer, "http://MEDIA.example:{port}/a%20b.wav?x=1&y=@#part") == WAV
    assert seen["path"] == "/a%20b.wav?x=1&y=@"
    assert seen["host"].startswith("media.example:")
    assert seen["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "x-meralion-visitor"} & seen.keys()


def test_the_environment_s_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetching(replies(200, WAV)) == WAV


def test_tls_is_checked_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    served, trusted = tls_for("media.example", tmp_path)

    async def main() -> None:
        async with media_host(replies(200, WAV), served) as port:
            hosts = (f"media.example:{port}", f"other.example:{port}")
            names = Resolver(media_example=[[HOME]], other_example=[[HOME]])
            remote = RemoteAudio(
                Settings(audio_url_hosts=hosts), allow=loopback_too, resolve=names, tls=trusted
            )
            assert await remote.fetch(f"https://media.example:{port}/a.wav") == WAV
            with pytest.raises(InvalidRequest):
                await remote.fetch(f"https://other.example:{port}/a.wav")
            remote.close()

    asyncio.run(main())


NOT_FETCHED = [
    "file:///etc/passwd",
    "ftp://media.example/a.wav",
    "gopher://media.example/",
    "unix:///var/run/docker.sock",
    "concat:http://media.example/a|http://media.example/b",
    "http:media.example/a",
    "http:///a",
    "http://",
    "//media.example/a://",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.0x1/",
    "http://0/",
    "http://localhost/",
    "http://localhost.localdomain/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254:80/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://168.63.129.16/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00:ec2::254]/",
    "http://[::1",
    "http://::1/",
    "http://user@media.example/",
    "http://user:password@media.example/",
    "http://media.example@127.0.0.1/",
    "http://127.0.0.1\\@media.example/",
    "http://media.example\\@127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://media.example/\r\nHost: 127.0.0.1",
    "http://media.example\t/",
    "http://media.example /",
    "http://media.example%2f@127.0.0.1/",
    "http://127.0.0.1%00.media.example/",
    "http://①②⑦.⓪.⓪.①/",
    "http://media.example。evil.example/",
    "http://-media.example/",
    "http://media..example/",
    "http://media.example:22/",
    "http://media.example:6379/",
    "http://media.example:99999/",
    "http://media.example:/",
    "http://media.example:80:80/",
    "http://" + "a" * 300 + "/",
    "http://media.example/" + "a" * 5_000,
]


@pytest.mark.parametrize("url", NOT_FETCHED, ids=lambda url: url[:60].encode("unicode_escape").decode())
def test_3_what_is_not_a_public_host_plainly_named_is_never_connected_to(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every public host allowed, and names that lead inside."""

    async def main() -> None:
        names = Resolver(
            localhost=[[HOME]],
            localhost_localdomain=[[HOME, "::1"]],
            metadata_google_internal=[["169.254.169.254"]],
            media_example=[[PUBLIC]],
        )
        remote = RemoteAudio(Settings(audio_url_hosts=("*",), audio_url_timeout_s=2.0), resolve=names)

        async def connect(*arguments: Any, **options: Any) -> Any:
            raise AssertionError(f"connected to {arguments}")

        monkeypatch.setattr(remote._sockets._sockets, "connect_tcp", connect)
        with pytest.raises(InvalidRequest) as raised:
            await remote.fetch(url)
        assert raised.value.code == "audio_url_refused"
        remote.close()

    asyncio.run(main())


def test_3_only_hosts_on_the_list() -> None:
    url = "http://media.example.evil.example:{port}/"
    names = Resolver(media_example_evil_example=[[HOME]])
    assert refusal(replies(200, WAV), url, names).code == "audio_url_refused"
    assert names.asked == []


@pytest.mark.parametrize(
    "inside", [[HOME], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["::ffff:10.0.0.1"], ["fe80::1%1"], []]
)
def test_3_a_name_with_any_address_inside_is_refused(inside: list[str]) -> None:
    async def main() -> None:
        remote = RemoteAudio(Settings(audio_url_hosts=("a.example",)), resolve=Resolver(a_example=[inside]))
        with pytest.raises(InvalidRequest):
            await remote.fetch("http://a.example/")
        remote.close()

    asyncio.run(main())


def test_3_a_name_is_looked_up_once_so_that_it_cannot_change_its_mind() -> None:
    """DNS rebinding: the second answer would lead inside; it is never asked for."""
    names = Resolver(media_example=[[HOME], ["10.0.0.1"]])
    assert fetching(replies(200, WAV), resolver=names) == WAV
    assert names.asked == ["media.example"]


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/",
        "http://localhost:{port}/",
        "http://169.254.169.254/",
        "http://[::1]:{port}/",
        "//10.0.0.1/",
        "\\\\10.0.0.1\\",
        "file:///etc/passwd",
        "ftp://media.example/",
        "http://2130706433:{port}/",
        "http://user@media.example:{port}/",
        "http://rebound.example:{port}/",
        "http://media.example:6379/",
    ],
)
def test_3_a_redirect_is_judged_as_the_first_address_was(target: str) -> None:
    asked: list[str] = []

    async def answer(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        asked.append(path)
        port = headers["host"].rpartition(":")[2]
        await replies(302, location=target.format(port=port))(path, headers, writer)

    names = Resolver(media_example=[[HOME], ["10.0.0.1"]], rebound_example=[["10.0.0.1"]], localhost=[[HOME]])
    assert refusal(answer, resolver=names).code == "audio_url_refused"
    assert asked == ["/a.wav"]


def test_a_few_redirects_are_followed_and_no_more() -> None:
    async def hops(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        left = int(path.lstrip("/"))
        await (replies(307, location=str(left - 1)) if left else replies(200, WAV))(path, headers, writer)

    assert fetching(hops, "http://media.example:{port}/3") == WAV
    assert "redirected" in refusal(hops, "http://media.example:{port}/4").message


@pytest.mark.parametrize("is_told", [True, False])
def test_bytes_are_bounded_while_they_come(is_told: bool) -> None:
    sent = 0

    async def endless(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"content-length: 99999999\r\n\r\n" if is_told else b"\r\n"))
        for _ in range(400):
            sent += 2**16
            writer.write(bytes(2**16))
            await writer.drain()

    assert refusal(endless, max_audio_bytes=100_000).code == "audio_too_large"
    assert sent < 20 * 2**20


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (replies(404), "404"),
        (replies(204), "204"),
        (replies(200, b"\x1f\x8b", content_encoding="gzip"), "compressed"),
        (replies(302), "302"),
    ],
)
def test_what_does_not_work_is_told(answer: Answer, words: str) -> None:
    error = refusal(answer)
    assert error.code == "audio_url_failed"
    assert words in error.message


def test_a_host_that_hangs_breaks_or_drips_is_given_up() -> None:
    async def hang(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def drip(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(300):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def nonsense(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" + b"x" * 200_000)

    async def cut(path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc")

    for answer in (hang, drip, nonsense, cut):
        assert refusal(answer, audio_url_timeout_s=0.4).code == "audio_url_failed"
    nowhere = Resolver()
    assert refusal(replies(200), resolver=nowhere).code == "audio_url_failed"


def test_what_is_fetched_is_asked_about(
    start: Start, engine: FakeEngine, second_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Resolver(media_example=[[HOME]])
    open_to_us = functools.partial(RemoteAudio, allow=loopback_too, resolve=names)
    monkeypatch.setattr(controller, "RemoteAudio", open_to_us)
    client = start(row([engine.url]), audio_url_hosts=(f"media.example:{second_engine.port}",))
    second_engine.default = sends(WAV, content_type="audio/wav")
    url = f"http://media.example:{second_engine.port}/a.wav"
    for part in (by_url, as_data):
        assert client.post(CHAT, json=question(f"hi {part}", part(url))).status_code == 200
        heard = engine.exchanges[-1].json["messages"][0]["content"][0]["input_audio"]["data"]
        assert base64.b64decode(heard)[44:] == WAV[44:]
        error = error_of(client.post(CHAT, json=question("hi", part("http://10.0.0.1/a.wav"))), 400)
        assert error["code"] == "audio_url_refused"
        assert "10.0.0.1" not in error["message"]


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
