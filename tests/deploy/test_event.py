"""The event kit's parts: settings, what is kept, the authority, the plain pages, Caddy's part, the unit."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from deploy.event import addresses, certificate, ports, site, telling
from deploy.event.authority import authority
from deploy.event.caddy import RULES, Ports, config
from deploy.event.children import ROOT
from deploy.event.data import Data, write
from deploy.event.settings import EventError, Settings, as_arguments, as_environment, flags, load
from deploy.event.unit import unit


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    held = Data(tmp_path / "data")
    yield held
    os.close(held.lock)


def read(*arguments: str, **environment: str) -> Settings:
    return load(flags().parse_args(arguments), environment)


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MERALION_EVENT_HTTPS_PORT", "9443")
    monkeypatch.setenv("MERALION_EVENT_NAMES", "demo.lan, hall.lan")
    chosen = read("--https-port", "10443")
    assert (chosen.https_port, chosen.http_port, chosen.names) == (10443, 0, ("demo.lan", "hall.lan"))


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        ((), {"MERALION_EVENT_HTTPSPORT": "1"}, "MERALION_EVENT_HTTPS_PORT"),
        (("--https-port", "many"), {}, "--https-port"),
        (("--cert", "a.pem"), {}, "give both --cert and --key"),
        (("--names", "two words"), {}, "no host name"),
        (("--https-port", "9000", "--http-port", "9000"), {}, "two different ports"),
    ],
)
def test_what_cannot_be_is_told_in_words(arguments: tuple[str, ...], environment: dict[str, str], told: str):
    with pytest.raises(EventError, match=re.escape(told)):
        read(*arguments, **environment)


def test_every_setting_stands_in_the_guide():
    guide = (ROOT / "deploy" / "event" / "README.md").read_text("utf-8")
    assert [name for name in Settings.model_fields if f"`MERALION_EVENT_{name.upper()}`" not in guide] == []


def test_secrets_are_made_once_and_for_the_owner_alone(data: Data):
    first = data.host_key(), data.visitor_secret()
    assert (data.host_key(), data.visitor_secret()) == first
    assert re.fullmatch(r"([a-z2-9]{5}-){4}[a-z2-9]{5}", first[0])
    assert {data.path(name).stat().st_mode & 0o777 for name in ("host-key", "visitor-secret")} == {0o600}
    assert data.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", [b"", b"abc", b"\xff\xfe\x00"])
def test_what_a_cut_of_power_left_half_written_is_made_anew(data: Data, left: bytes):
    for name in ("host-key", "visitor-secret", "authority.crt", "authority.key"):
        data.path(name).write_bytes(left)
    data.path("host-key.new").write_bytes(b"half")
    assert len(data.host_key()) == 29
    assert len(data.visitor_secret()) >= 32
    assert authority(data, ()).is_new
    assert not authority(data, ()).is_new


def test_a_file_is_replaced_as_a_whole(tmp_path: Path):
    file = tmp_path / "file"
    write(file, b"one")
    with pytest.raises(TypeError):
        write(file, None)  # type: ignore[arg-type]
    assert file.read_bytes() == b"one"
    write(file, b"two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_two_kits_do_not_share_a_folder(data: Data, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deploy.event.data._PATIENCE_S", 0.1)
    with pytest.raises(EventError, match="Another event kit"):
        Data(data.folder)


def test_the_authority_is_kept_and_vouches_for_local_names_alone(data: Data):
    made = authority(data, ("demo.example.org",))
    again = authority(data, ())
    assert (made.fingerprint, again.is_new) == (again.fingerprint, False)
    assert made.lacks(("demo.example.org", "hall.local", "bank.example.com")) == ["bank.example.com"]
    said = made.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert said.critical
    assert data.path("authority.key").stat().st_mode & 0o777 == 0o600


def test_the_profile_holds_the_same_certificate(data: Data):
    own = authority(data, ())
    (payload,) = plistlib.loads(own.profile())["PayloadContent"]
    assert x509.load_der_x509_certificate(payload["PayloadContent"]) == own.certificate
    assert payload["PayloadType"] == "com.apple.security.root"
    assert own.profile() == own.profile()


def test_every_language_has_the_same_words():
    english = site.words("en")
    for code in site.LANGUAGES:
        words = site.words(code)
        assert list(words) == list(english)
        assert all(text.strip() for text in words.values())
        assert {key for key, text in words.items() if "{authority}" in text} == {
            key for key, text in english.items() if "{authority}" in text
        }


def test_the_trust_page_asks_for_nothing_from_elsewhere(data: Data):
    own = authority(data, ())
    page = site.trust_page(own, 8443)
    assert own.fingerprint in page
    assert 'data-https="8443"' in page
    for code in site.LANGUAGES:
        assert f'<section lang="{code}"' in page
    assert set(re.findall(r'(?:href|src)="([^"#][^"]*)"', page)) == {
        "/", "/ca.crt", "/ca.mobileconfig", "data:,"
    }  # fmt: skip
    assert "http://" not in page.replace('http:"', "")


def test_a_host_s_own_certificate_is_looked_at(data: Data, tmp_path: Path):
    own = authority(data, ())
    crt, key = data.path("authority.crt"), data.path("authority.key")
    assert own.certificate
    with pytest.raises(EventError, match="names no host"):
        certificate.names_of(crt, key)
    with pytest.raises(EventError, match="no private key"):
        certificate.names_of(crt, crt)
    with pytest.raises(EventError, match="no certificate"):
        certificate.names_of(tmp_path / "none", key)
    other = Data(tmp_path / "other")
    authority(other, ())
    os.close(other.lock)
    with pytest.raises(EventError, match="is not the key of"):
        certificate.names_of(crt, other.path("authority.key"))


def test_only_this_machine_s_names_are_vouched_for():
    place = addresses.Place(("10.0.0.5", "fd00::5"), ("demo.lan",))
    for ours in ("10.0.0.5", "fd00::5", "DEMO.lan", "localhost", "127.0.0.1"):
        assert place.is_ours(ours)
    for others in ("10.0.0.6", "example.com", "", "x.demo.lan"):
        assert not place.is_ours(others)
    assert addresses.Place((), ()).best == "localhost"


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(EventError, match=rf"Port {taken} .*another program listens there"):
            ports.choose(taken, 443, 8443, "--https-port")
        chosen = ports.choose(0, taken, free := ports.free(), "--https-port")
        assert chosen.port == free
        assert f"Port {taken} is not used" in chosen.sentence
        with pytest.raises(EventError, match="Neither port"):
            ports.choose(0, taken, taken, "--https-port")


def test_the_ways_in_have_ports_only_where_they_are_unusual():
    usual = telling.doors("10.0.0.5", 443, 80, own=True)
    assert (usual.demo, usual.trust, usual.here) == (
        "https://10.0.0.5",
        "http://10.0.0.5/trust",
        "http://localhost",
    )
    other = telling.doors("fd00::5", 8443, 8080, own=False)
    assert (other.demo, other.trust, other.for_phones) == ("https://[fd00::5]:8443", "", other.demo)
    assert other.host_page == "https://[fd00::5]:8443/host"


@pytest.mark.parametrize("real", [False, True])
def test_caddy_takes_what_it_is_told(data: Data, real: bool):
    caddy = Path(sys.executable).with_name("caddy")
    if not caddy.is_file():
        pytest.skip("Caddy is not installed: make event")
    authority(data, ())
    given = (data.path("authority.crt"), data.path("authority.key"), "demo.example") if real else None
    told = config(Ports(8443, 8080, 8501, 9000), data.folder, given)
    assert told["admin"] == {"disabled": True, "config": {"persist": False}}
    data.path("caddy.json").write_text(json.dumps(told))
    done = subprocess.run(
        [caddy, "validate", "--config", data.path("caddy.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", ["caddy/Caddyfile", "kubernetes/base/Caddyfile"])
def test_pages_stand_under_the_same_rules_wherever_they_are(file: str):
    lines = (ROOT / "deploy" / file).read_text("utf-8").splitlines()
    said = dict(line.strip().split(" ", 1) for line in lines if line.strip().split(" ", 1)[0] in RULES)
    assert {name: value.strip('"') for name, value in said.items()} == RULES


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MERALION_EVENT_KIOSK", "false")
    monkeypatch.setenv("MERALION_EVENT_REQUESTS_PER_MINUTE", "20")
    chosen = read("--data", str(tmp_path / "a folder"), "--names", "demo.lan")
    text = unit(as_arguments(chosen), as_environment(chosen))
    assert (
        "\nEnvironment=MERALION_EVENT_KIOSK=false\nEnvironment=MERALION_EVENT_REQUESTS_PER_MINUTE=20\n"
        in text
    )
    assert "WAITING" not in text
    assert f'--data "{tmp_path}/a folder" --names demo.lan' in text
    assert "Restart=always" in text
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "meralion-event.service"
    file.write_text(text)
    done = subprocess.run([analyze, "verify", "--man=no", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


HOLDER = """
import subprocess, sys, time
leash = [sys.executable, "-m", "deploy.event.leash", sys.executable, "-c", sys.argv[1]]
subprocess.Popen(leash, stdin=subprocess.PIPE)
time.sleep(600)
"""
HELD = "import os, pathlib, time; pathlib.Path({mark!r}).write_text(str(os.getpid())); time.sleep(600)"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_on_the_leash_ends_with_its_holder(how: signal.Signals, tmp_path: Path):
    """The holder starts a leash, as the kit does, and is ended: nothing is left."""
    mark = tmp_path / "pid"
    program = HELD.format(mark=str(mark))
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, program], cwd=ROOT)
    until(lambda: mark.exists() and mark.read_text().isdecimal())
    pid = int(mark.read_text())
    holder.send_signal(how)
    holder.wait()
    until(lambda: not is_running(pid))


def test_a_kit_that_is_killed_leaves_nothing_and_starts_again(tmp_path: Path):
    """Ports and folder are free again as soon as all of it has ended, which the next start waits for."""
    https, http = ports.free(), ports.free()
    command = [sys.executable, "-m", "deploy.event", "--data", str(tmp_path / "data")]
    command += ["--https-port", str(https), "--http-port", str(http)]
    registry = tmp_path / "models.toml"
    registry.write_text(REGISTRY)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MERALION")}
    clean |= {"MERALION_MODELS": str(registry)}
    fingerprints = []
    for how in (signal.SIGKILL, signal.SIGINT):
        kit = subprocess.Popen(command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, text=True)
        said: list[str] = []
        reading = threading.Thread(target=lambda kit=kit, said=said: said.extend(kit.stdout or ()))
        reading.start()
        until(lambda said=said: any("ready" in line for line in said), 60)
        until(lambda said=said: any("Host key" in line for line in said))
        fingerprints.append(fetched(https, tmp_path / "data" / "authority.crt"))
        kit.send_signal(how)
        kit.wait(timeout=30)
        reading.join()
        assert (tmp_path / "data" / "host-key").read_text().strip() not in "".join(said)
    assert kit.returncode == 0
    assert fingerprints[0] == fingerprints[1] != b""
    for port in (https, http):
        socket.create_server(("127.0.0.1", port)).close()


REGISTRY = """
[tiny]
title = "Tiny"
sentence = "A model that is nowhere."
kind = "chat"
engine = "openai"
instances = ["http://127.0.0.1:9"]
licence = "MIT"
max_audio_seconds = 30
[tiny.capabilities]
transcribe = true
"""


def fetched(port: int, authority_file: Path) -> bytes:
    """Fetch the page's address of health over https, trusting the kit's authority alone; return that."""
    trusting = ssl.create_default_context(cafile=str(authority_file))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET /_stcore/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := secure.recv(4_096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b"Server:" not in answer
    return authority_file.read_bytes()


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(met, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)
