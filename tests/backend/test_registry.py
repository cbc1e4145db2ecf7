"""The table of models is right, or the start stops at the row, the key and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import registry
from backend.errors import StartError
from backend.settings import Settings
from tests.backend.conftest import row


def test_the_shipped_table_is_whole() -> None:
    rows = registry.load(Settings.model_fields["models"].default)
    assert {name: one.kind for name, one in rows.items()} == {
        "whisper-base-smollm2": "chat",
        "meralion-mini": "chat",
        "kokoro-82m": "speech",
    }
    for one in rows.values():
        card = one.capability_card()
        assert set(card) == set(registry.CAPABILITIES)
        assert all(said["supported"] or said["reason"].endswith(".") for said in card.values())
    assert rows["whisper-base-smollm2"].sampling.temperature == 0


@pytest.mark.parametrize(
    ("name", "engine"),
    [("whisper-base", "embedded"), ("whisper-tiny-en", "embedded"), ("meralion-2-3b", "vllm")],
)
def test_a_row_to_copy_is_right_without_its_signs(name: str, engine: str, tmp_path: Path) -> None:
    shipped = Settings.model_fields["models"].default.read_text("utf-8")
    example, _, _ = shipped[shipped.index(f"# [{name}]") :].partition("\n\n")
    file = tmp_path / "models.toml"
    file.write_text("\n".join(line.removeprefix("#").removeprefix(" ") for line in example.splitlines()))
    copied = registry.load(file)[name]
    assert (copied.engine, copied.upstream_id) == (engine, name)
    assert all(
        said["supported"] or said["reason"].endswith(".") for said in copied.capability_card().values()
    )


BROKEN = {
    "not TOML": ("[tiny\n", "not valid TOML.*line 1"),
    "empty": ("", "lists no model"),
    "a stray key": ('title = "x"\n', "`title` stands outside any table"),
    "an unknown key": (
        row(["http://x"], more='licnce = "MIT"\n'),
        r"row \[tiny\]: `licnce`.*Did you mean `licence`",
    ),
    "a missing key": (
        row(["http://x"]).replace("sentence =", "# sentence ="),
        r"row \[tiny\]: `sentence` is missing",
    ),
    "a wrong type": (row(["http://x"]).replace('title = "Tiny"', "title = 5"), "`title` must be text"),
    "an unknown engine": (
        row(["http://x"], engine="magic"),
        "`engine` must be 'embedded', 'openai' or 'vllm'",
    ),
    "no instances": (row([]), "needs `instances`"),
    "no address": (row(["localhost:8000"]), "must start with http"),
    "no host": (row(["http://"]), r"`instances\[0\].url`.*name a host"),
    "no port": (row(["http://x:y"]), r"`instances\[0\].url`.*name a host"),
    "an address of four numbers that is none": (row(["http://10.0.0.999:8000"]), "name a host"),
    "a password": (row(["http://me:very-secret@x"]), "hold no password.*`api_key_env`"),
    "a question": (row(["http://x/?a=b"]), r"without spaces, quotes, \? and #"),
    "an address with a quote": (row([]).replace("= []", "= ['http://x/\"']"), "plain ASCII"),
    "an address that is not ASCII": (row([]).replace("= []", '= ["http://x/é"]'), "plain ASCII"),
    "an address twice": (row(["http://x", "http://x/v1"]), "names x twice"),
    "an unknown key of an instance": (
        row([]).replace("= []", '= [{ url = "http://x", wieght = 2 }]'),
        r"`instances\[0\].wieght`.*Did you mean `weight`",
    ),
    "an instance without an address": (
        row([]).replace("= []", "= [{ weight = 2 }]"),
        r"`instances\[0\].url` is missing",
    ),
    "an instance that weighs nothing": (
        row([]).replace("= []", '= [{ url = "http://x", weight = 0 }]'),
        r"`instances\[0\].weight` must be more than 0",
    ),
    "no places": (row(["http://x"], more="places = 0\n"), "`places` must be at least 1"),
    "two rows that differ in an instance": (
        row(["http://x"], more="places = 4\n") + row(["http://x"], name="b"),
        "tiny and b both run at x and differ",
    ),
    "two rows that differ in the engine that is ours": (
        row([], engine="embedded", more="places = 4\n") + row([], engine="embedded", name="b"),
        "tiny and b both run at the embedded engine",
    ),
    "an unknown capability": (
        row(["http://x"]).replace("chat = true", "chatt = true"),
        r"row \[tiny\]: .*chatt",
    ),
    "a bare no": (
        row(["http://x"]).replace("chat = true", "chat = false"),
        r"row \[tiny\]: .*capabilities.chat",
    ),
    "a template without words": (
        row(["http://x"], more='prompt_template = "x"\n'),
        "must contain {instruction}",
    ),
    "wrong sampling": (
        row(["http://x"], more="sampling = { temperature = 9 }\n"),
        "sampling.temperature.*at most 2",
    ),
    "unknown sampling": (row(["http://x"], more="sampling = { heat = 1 }\n"), "sampling.heat"),
    "two defaults": (
        row(["http://x"], more="default = true\n") + row(["http://x"], name="b", more="default = true\n"),
        "tiny and b both say",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_stops_the_start(name: str, tmp_path: Path) -> None:
    text, words = BROKEN[name]
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(StartError, match=words) as caught:
        registry.load(file)
    assert "models.toml" in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "very-secret" not in str(caught.value)


def test_a_missing_table_says_which_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="MERALION_MODELS"):
        registry.load(tmp_path / "none.toml")


def test_an_instance_is_an_address_or_a_table(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    listed = '["http://a:1/v1/", { url = "https://b/x", weight = 2, places = 32 }]'
    file.write_text(row([], more="places = 8\n").replace("= []", f"= {listed}"))
    tiny = registry.load(file)["tiny"]
    assert [(one.name, one.url, one.weight, tiny.places_at(one)) for one in tiny.instances] == [
        ("a:1", "http://a:1", 1.0, 8),
        ("b/x", "https://b/x", 2.0, 32),
    ]


def test_two_models_may_run_at_one_instance(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(row(["http://a:1"]) + row(["http://a:1"], name="voice", kind="speech"))
    assert {one.instances[0].name for one in registry.load(file).values()} == {"a:1"}
