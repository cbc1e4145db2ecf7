"""An exported run is an ordinary checkpoint that answers as the trained model does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoints.inspect import inspect
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor
from tests.training import tiny
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.audiollm_data import eval_examples
from training.errors import CheckpointMismatch, ConfigError
from training.errors import run as run_command
from training.examples import Collator
from training.export import export, find, main, trained
from training.train_audiollm import train

LAYOUTS: dict[str, dict[str, Any]] = {
    "open": {"layout_id": "open", "decoder": "llama"},
    "v1": {"layout_id": "v1", "decoder": "gemma2"},
    "v2": {"layout_id": "v2", "decoder": "gemma2"},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.corpus(tmp_path_factory.mktemp("corpus"))
    (folder / "card.md").write_text("# Bundled clips\n\nSynthetic speech, 6 rows.\n\n## Rules\n\nNone.\n")
    return folder


def ran(folder: Path, corpus: Path, **options: Any) -> AudioLLMRun:
    """A run of three steps, saved each step."""
    model = tiny.build(folder / "model", **options)
    changes: dict[str, Any] = {"schedule": {"steps": 3, "warmup": 0}, "every": {"save": 1, "eval": 3}}
    values = tiny.settings(folder / "run", model, corpus, data={"eval": str(corpus)}, **changes)
    run = configs.parse(AudioLLMRun, values, "test")
    train(run)
    return run


@pytest.mark.parametrize("layout", LAYOUTS)
def test_log_probs_are_equal_before_and_after(tmp_path: Path, corpus: Path, layout: str) -> None:
    run = ran(tmp_path, corpus, **LAYOUTS[layout])
    folder = export(run.run, tmp_path / "out", shards=2)
    before = trained(run, find(run.run, None))
    after = AudioLLMForConditionalGeneration.from_pretrained(folder).eval()
    found = eval_examples(run, before)
    assert found
    batch = Collator(0)([found[number] for number in range(3)])
    batch.pop("note")
    with torch.no_grad():
        said = [model(**batch).logits.log_softmax(-1) for model in (before.model, after)]
    assert (said[0] - said[1]).abs().max() < 1e-5
    start = AudioLLMForConditionalGeneration.from_pretrained(tmp_path / "model").state_dict()
    moved = {
        name.split(".")[0]
        for name, value in after.state_dict().items()
        if not torch.equal(value, start[name])
    }
    assert moved == {"speech_encoder", "ln_speech", "speech_audio_adapter", "text_decoder"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, AudioLLMRun]:
    folder = tmp_path_factory.mktemp("exported")
    run = ran(folder, corpus, **LAYOUTS["v1"])
    return export(run.run, folder / "out", dtype="bfloat16"), run


def test_the_folder_is_in_the_published_layout(exported: tuple[Path, AudioLLMRun]) -> None:
    folder, run = exported
    report = inspect(folder)
    assert not report.problems and report.layout and report.layout.id == "v1"
    content, start = (
        json.loads((Path(at) / "config.json").read_text()) for at in (folder, str(run.model.checkpoint))
    )
    assert content.pop("dtype") == "bfloat16" and start.pop("torch_dtype") == "float32"
    assert content == start
    made = [(Path(at) / "preprocessor_config.json").read_text() for at in (folder, str(run.model.checkpoint))]
    assert made[0] == made[1]
    assert AudioLLMProcessor.from_pretrained(folder).tokens_of(480_000) == 100


def test_the_card_says_data_settings_and_metrics(exported: tuple[Path, AudioLLMRun]) -> None:
    card = (exported[0] / "README.md").read_text("utf-8")
    for said in (
        "MERaLiON-AudioLLM",
        "> Synthetic speech, 6 rows.",
        "peak_lr: 0.001",
        "Held-out loss at step 3",
        "3 steps",
    ):
        assert said in card
    assert "## Rules" not in card  # the corpus' own card has the rest


def test_an_earlier_checkpoint_can_be_exported_and_a_missing_one_is_named(
    exported: tuple[Path, AudioLLMRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = exported[1].run
    assert run_command(lambda: main([str(run), str(tmp_path / "two"), "--checkpoint", "2"])) == 0
    assert "MERaLiON-AudioLLM" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="Choose one of: 1, 2, 3"):
        export(run, tmp_path / "seven", step=7)
    with pytest.raises(ConfigError, match="is not empty"):
        export(run, tmp_path / "two")
    with pytest.raises(ConfigError, match="holds no whole checkpoint"):
        export(tmp_path / "nowhere", tmp_path / "three")


def test_a_run_whose_base_has_changed_is_not_exported(tmp_path: Path, corpus: Path) -> None:
    run = ran(tmp_path, corpus, **LAYOUTS["open"])
    tiny.build(tmp_path / "model", **LAYOUTS["open"], seed=5)
    with pytest.raises(CheckpointMismatch, match="other frozen weights"):
        export(run.run, tmp_path / "out")
