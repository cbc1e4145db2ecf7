"""The file of text models, keys, and what a stage costs."""

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ui.cascade import chosen
from ui.cascade.cost import Bill, amount, figure
from ui.cascade.endpoints import Price, address_problem, is_loopback, load
from ui.cascade.secret import Secret
from ui.settings import ROOT, SettingsError, settings
from ui.wire import Usage

KEY = "sk-visitor-0123456789"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / f"endpoints-{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text)
        return path

    return write


def test_the_rows_that_come_with_the_demo():
    rows = load(ROOT / "ui" / "cascade" / "endpoints.toml").text
    assert list(rows) == ["local", "openai", "sea-lion", "ollama", "vllm"]
    assert not rows["local"].address and rows["local"].here
    assert rows["sea-lion"].address == "https://api.sea-lion.ai/v1" and not rows["sea-lion"].here
    assert rows["ollama"].here and rows["ollama"].free


@pytest.mark.parametrize(
    ("url", "kiosk", "offered"),
    [
        ("http://localhost:8501/Cascade", False, True),
        ("http://127.0.0.1:8501/Cascade", False, True),
        ("http://localhost/Cascade", True, False),  # a shared screen
        ("https://demo.example.org/Cascade", False, False),  # localhost would be the server
        ("https://192.168.1.20/Cascade", False, False),
    ],
)
def test_programs_beside_the_pages_are_offered_to_who_sits_there(
    environment: pytest.MonkeyPatch, write: Write, url: str, kiosk: bool, offered: bool
):
    environment.setattr(chosen, "st", SimpleNamespace(context=SimpleNamespace(url=url)))
    environment.setenv("MERALION_KIOSK", str(kiosk).lower())
    assert ("ollama" in chosen.names()) == ("vllm" in chosen.names()) == offered
    assert "local" in chosen.names()
    environment.setenv("MERALION_UI_ENDPOINTS", str(write('[text.mine]\naddress = "http://localhost:9/v1"')))
    settings.cache_clear()
    assert "mine" in chosen.names()  # a host's own file says what is there


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[text.a]\ntitle = "A"\ncolour = "red"', r"\[text.a\] colour .* no such setting.* key_env"),
        (f'[text.a]\nkey = "{KEY}"', "keys do not belong in this file.*key_env"),
        (f'[text.a]\nkey_env = "{KEY}"', r"\[text.a\] key_env .* never the key itself"),
        ('[text.a]\naddress = "localhost:80/v1"', r"\[text.a\] address .* begins with https://"),
        ('[text.a]\naddress = "https://me:pw@example.org/v1"', "no name and password"),
        ("[text.a]\nfirst_word_s = 0", r"\[text.a\] first_word_s"),
        ('[text.a]\ninput_per_million = "cheap"', r"\[text.a\] input_per_million"),
        ("[text.a]\n[speech.b]\n", r"\[speech\] .* no such setting"),
        ("", r"\[text\]"),
        ("[text.a", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_row_and_the_reason(
    write: Write, text: str, says: str
):
    with pytest.raises(SettingsError, match=f"(?s){says}") as caught:
        load(write(text))
    assert KEY not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_the_host_s_key_comes_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch):
    row = load(write('[text.a]\naddress = "https://example.org/v1"\nkey_env = "A_KEY"')).text["a"]
    assert row.host_key() is None
    monkeypatch.setenv("A_KEY", f" {KEY}\n")
    key = row.host_key()
    assert key is not None and key.reveal() == KEY
    assert KEY not in f"{row!r} {key!r} {key}"


def test_a_secret_shows_in_nothing():
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "schlüssel", "x" * 513])
def test_what_is_no_key_is_refused_without_being_repeated(value: str):
    with pytest.raises(ValueError, match="not a key") as caught:
        Secret(value)
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("https://example.org/v1", True),
        ("http://[::1]:8000/v1", True),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://example.org/v1?x=1", False),
        ("https://example.org:99999/v1", False),
        ("http://[::1/v1", False),
        ("https://example.org/a b", False),
        ("https://example.org/" + "x" * 300, False),
    ],
)
def test_addresses(address: str, good: bool):
    assert (address_problem(address) == "") is good


def test_which_addresses_are_this_computer():
    here = ("http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]/v1")
    assert all(map(is_loopback, here))
    assert not any(map(is_loopback, ("https://localhost.example.org/v1", "http://10.0.0.1/v1")))


@pytest.mark.parametrize(
    ("price", "usage", "seconds", "cost"),
    [
        (Price(free=True), None, 60, 0.0),
        (Price(), Usage(10, 10), 60, None),
        (Price(per_audio_minute=0.006), None, 30, 0.003),
        (Price(input_per_million=1, output_per_million=4), Usage(1000, 500), 0, 0.003),
        (Price(input_per_million=1, output_per_million=4), None, 0, None),
        (Price(per_audio_minute=0.01, output_per_million=2), Usage(9, 500_000), 60, 1.01),
    ],
)
def test_what_a_stage_costs(price: Price, usage: Usage | None, seconds: float, cost: float | None):
    found = amount(price, usage, seconds)
    assert found == (None if cost is None else pytest.approx(cost))
    assert Bill(price).here is False


@pytest.mark.parametrize(
    ("cost", "text"), [(1.254, "1.25"), (0.0132, "0.013"), (0.0000413, "0.000041"), (0, "0.00")]
)
def test_sums_of_money_have_two_figures_that_mean_something(cost: float, text: str):
    assert figure(cost) == text
