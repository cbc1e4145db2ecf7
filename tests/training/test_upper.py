"""Layers of the encoder that are tuned: they go on where the frozen ones end, and what follows has them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.processing import mel_windows
from tests.training import tiny, tiny_mini, tiny_whisper
from tests.training.tiny import write
from training.build_model import build
from training.config import load
from training.data import schema
from training.errors import CheckpointMismatch
from training.features import Encoder, of_run
from training.listen import stage_2
from training.mini import mini
from training.mini_config import MiniRun
from training.mini_evaluation import Listener
from training.parts import load_encoder
from training.states import embedded
from training.upper import Upper


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MiniRun:
    """A run that has tuned the last of its encoder's two layers."""
    folder = tmp_path_factory.mktemp("tuned")
    encoder = tiny_whisper.random_whisper(folder / "whisper")
    tiny_whisper.corpus(folder / "corpus")
    rows = schema.read_shard(folder / "corpus/dev/0.parquet").to_pylist()
    for split in ("dev", "test"):
        schema.write_shard(folder / "human" / split / "0.parquet", rows[1:4])
    warm = {
        "schedule": {"steps": 6, "warmup": 1},
        "batch": 4,
        "optimiser": {"peak_lr": 1e-3, "encoder_lr": 1e-4},
    }
    warm["every"] = {"log": 1, "eval": 3, "save": 3, "keep": 1}
    values = tiny_mini.settings(folder, encoder, tiny_mini.decoder(folder / "decoder"), warm_up=warm)
    found = load(MiniRun, write(folder / "mini.yaml", values | {"tuned_layers": 1}))
    mini(found)
    return found


def test_upper_layers_go_on_where_the_lower_ones_end(tmp_path: Path) -> None:
    name = str(tiny_whisper.random_whisper(tmp_path / "whisper"))
    clip = tiny.pcm("st-weather")[:40_000]
    whole, lower = Encoder(load_encoder(name), "fp32"), Encoder(load_encoder(name), "fp32", left_out=1)
    upper = Upper(load_encoder(name).model.eval(), 1)
    expected = [whole(clip, states).float() for states in (150, 120)]
    given = torch.zeros(2, 150, 64)
    given[0], given[1, :120] = lower(clip, 150).float(), lower(clip, 120).float()
    with torch.inference_mode():
        found = upper(given, torch.tensor([150, 120]))
    torch.testing.assert_close(found[0], expected[0], atol=5e-3, rtol=0)  # states are kept in float16
    torch.testing.assert_close(found[1, :120], expected[1], atol=5e-3, rtol=0)


def test_the_warm_up_tunes_them_and_stage_2_leaves_them(run: MiniRun) -> None:
    tuned = load_file(run.warm_up.run / "adapter.safetensors")
    before = load_encoder(str(run.listen.model.encoder)).model.state_dict()
    own = {name.removeprefix("speech_encoder."): name for name in tuned if name.startswith("speech_encoder.")}
    assert {name.split(".")[0] for name in own} == {"layers", "layer_norm"}
    assert all(name.startswith(("layers.1.", "layer_norm.")) for name in own)
    assert not torch.equal(tuned[own["layers.1.fc1.weight"]], before["layers.1.fc1.weight"])
    model = build(stage_2(run)).model
    held = model.speech_encoder.state_dict()
    for name, value in held.items():
        assert torch.equal(value, tuned[own[name]] if name in own else before[name]), name
    trained = load_file(run.listen.run / "checkpoint-4/trainable.safetensors")
    assert not any(name.startswith("speech_encoder.") for name in trained)


def test_states_stand_in_for_sound_as_serving_hears_it(run: MiniRun) -> None:
    built = build(stage_2(run))
    model = built.model.eval()
    listener = Listener.of(run, built, "people", 3)
    row = listener.rows[0]
    example = listener.examples.of(row)
    corpus = schema.read_shard(run.human / "test/0.parquet").to_pylist()
    clip = schema.decode(next(each for each in corpus if each["id"] == row["id"])["context"]["bytes"])
    mel = torch.from_numpy(mel_windows(built.processor.feature_extractor, clip))
    ids = torch.tensor([example.ids])
    with torch.inference_mode():
        heard = model(input_ids=ids, input_features=mel).logits.log_softmax(-1)
        embeddings, _, _ = embedded(model, ids, torch.from_numpy(example.features), run.tuned_layers)
        read = model(inputs_embeds=embeddings).logits.log_softmax(-1)
    torch.testing.assert_close(read, heard, atol=2e-2, rtol=0)  # states are kept in float16


def test_states_below_other_layers_are_not_taken_for_these(run: MiniRun) -> None:
    assert json.loads((run.features.folder / "corpus/features.json").read_text())["tuned_layers"] == 1
    with pytest.raises(CheckpointMismatch, match="another tuned_layers"):
        of_run(dataclasses.replace(run, tuned_layers=0))
