"""Fetching from the hub: what is fetched, and what a person reads where nothing can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from evaluation.core import Example
from evaluation.data import examples
from evaluation.errors import DataError
from evaluation.registry import datasets
from tests.evaluation.corpus import CLIP, row, write
from tests.evaluation.hub_server import Hub, serving

MNSC = datasets()["imda_part1_asr_test"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    here = write(tmp_path / "hub/a.parquet", [row(), row()]).read_bytes()
    files = {"ASR-PART1-Test/train-00000-of-00001.parquet": here, "ASR-PART2-Test/train-0.parquet": here}
    with serving(Hub(MNSC.hub, files)) as one:
        monkeypatch.setenv("HF_ENDPOINT", one.url)
        yield one


def test_only_the_data_sets_own_files_are_fetched_and_only_once(hub: Hub) -> None:
    first = list(examples(MNSC, None, download=True))
    fetched = [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]
    assert len(fetched) == 1 and "ASR-PART1-Test" in fetched[0]
    assert all(isinstance(clip, Example) and clip.audio == CLIP for clip in first)
    assert list(examples(MNSC, None, download=True)) == first
    assert [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line] == fetched


def test_a_gated_data_set_says_where_to_agree(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_" + "a" * 34
    page = "https://huggingface.co/datasets/MERaLiON/Multitask-National-Speech-Corpus-v1"
    with pytest.raises(DataError, match=f"Accept its terms at {page}, then set HF_TOKEN"):
        examples(MNSC, None, download=True)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert len(list(examples(MNSC, None, download=True))) == 2


def test_an_unknown_repository_is_said_in_words(hub: Hub) -> None:
    with pytest.raises(DataError, match=r"shows you no AudioLLMs/MMAU-mini\. Mend `hub` of \[mmau_mini\]"):
        examples(datasets()["mmau_mini"], None, download=True)


def test_a_split_that_is_not_there_is_said_in_words(hub: Hub) -> None:
    with pytest.raises(DataError, match=r"has no files ASR-PART5-Test/train-\*\.parquet\. Look there"):
        examples(datasets()["imda_part5_30s_asr_test"], None, download=True)


def test_no_network_is_said_in_words(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"could not be fetched .* name a copy with --data"):
        examples(MNSC, None, download=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"Check the network, HF_HUB_OFFLINE"):
        examples(MNSC, None, download=True)
