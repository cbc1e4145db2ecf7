from __future__ import annotations

from pathlib import Path

import pytest

from evaluation import runner, scoring
from evaluation.errors import RegistryError
from evaluation.systems import System, chosen, systems
from tests.evaluation.scripted import Scripted, dataset, examples

ROW = """
[mine]
title = "Mine"
kind = "chat"
base_url = "{url}"
model = "tiny"
start = "It runs within a test."
"""
# What the paper's tables and the task name, by the ids that reports and commands use.
PAPERS = {
    "meralion-audiollm", "meralion-2-10b", "meralion-2-3b", "whisper-base-smollm2", "whisper-tiny-en",
    "whisper-base", "meralion-mini", "qwen2-audio-7b", "salmonn-7b", "wavllm", "phi-4-multimodal",
    "gpt-4o-audio", "gemini", "cascade",
}  # fmt: skip


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "systems.toml"
    file.write_text(text, "utf-8")
    return file


def test_every_system_of_the_paper_has_a_row_that_says_how_to_start_it() -> None:
    rows = systems()
    assert set(rows) >= PAPERS
    assert all(row.start for row in rows.values())
    assert {row.id for row in rows.values() if "wrapper" in row.start} == {"salmonn-7b", "wavllm"}


def test_a_system_is_one_row(tmp_path: Path) -> None:
    with Scripted() as endpoint:
        rows = systems(written(tmp_path, ROW.format(url=endpoint.url)))
        tally = runner.run(rows["mine"], dataset(), examples(3), tmp_path / "out", rows=rows)
    result = scoring.score(tally.folder, dataset())
    assert (result.system, result.answered, result.n) == ("mine", 3, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", None),
        ("[mine]\ntitle = 'x'", "`kind` is missing"),
        (ROW + "colour = 'red'", "`colour` is not known here"),
        (ROW + "max_tokens = 0", "`max_tokens`"),
        (ROW + "prompt = 'no place'", "must contain {instruction}"),
        (ROW.replace('base_url = "{url}"', ""), "`base_url` is missing"),
        (ROW.replace('"chat"', '"cascade"'), "names its halves"),
        (ROW.replace("[mine]", "[Mine]"), "`id`"),
        ("mine = 3", "outside any table"),
        ("[mine", "is not valid TOML"),
        (ROW + "asr = 'a'\n[both]\ntitle='b'\nkind='cascade'\nasr='mine'\ntext='none'\nstart='s'\n"
         "prompt='{transcript} {instruction}'", "`text` names 'none'"),
    ],
)  # fmt: skip
def test_a_broken_row_is_told_by_file_row_and_reason(tmp_path: Path, text: str, said: str | None) -> None:
    file = written(tmp_path, text)
    if said is None:
        assert systems(file)
        return
    with pytest.raises(RegistryError) as caught:
        systems(file)
    assert said in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"Name another with --systems"):
        systems(tmp_path / "none.toml")


def test_an_address_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, ROW.format(url="${MINE_URL:-http://127.0.0.1:1/v1}"))
    assert systems(file)["mine"].host == "127.0.0.1:1"
    monkeypatch.setenv("MINE_URL", "http://example.org:8/v1")
    assert systems(file)["mine"].base_url == "http://example.org:8/v1"


def test_a_key_is_never_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = System(id="a", title="A", kind="chat", base_url="http://a/v1", key_env="A_KEY", start="s")
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(RegistryError, match=r"export A_KEY="):
        row.key()
    monkeypatch.setenv("A_KEY", "secret-7")
    assert row.key() == "secret-7"
    assert "secret-7" not in repr(row) + row.model_dump_json()
    monkeypatch.setenv("A_KEY", "secret\n7")
    with pytest.raises(RegistryError) as caught:
        row.key()
    assert "secret" not in str(caught.value)


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RegistryError, match="Did you mean meralion-2-3b"):
        chosen(["meralion-2-3"], systems())
