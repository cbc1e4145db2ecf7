"""The mini model's whole way: states stand in for sound exactly, and a run ends with its page of numbers."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.processing import mel_windows
from tests.speech import ROOT
from tests.training import tiny_mini, tiny_whisper
from tests.training.tiny import losses, write
from training.audiollm_config import AudioLLMRun
from training.audiollm_trainer import WEIGHTS
from training.build_model import build
from training.config import load
from training.data import schema
from training.errors import CheckpointMismatch, ConfigError, DataError
from training.feature_store import Features
from training.features import folder_of
from training.listen import listen, stage_2, trainer_of
from training.mini import evaluate, mini, trained
from training.mini_config import MiniRun
from training.mini_evaluation import Listener
from training.run_folder import mark_whole
from training.states import StateExamples, embedded
from training.turns import Turns
from training.warm_up import warm_up


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MiniRun:
    """A run whose speech are people's clips, and which has been made."""
    folder = tmp_path_factory.mktemp("mini")
    encoder = tiny_whisper.random_whisper(folder / "whisper")
    tiny_whisper.corpus(folder / "corpus")
    rows = schema.read_shard(folder / "corpus/dev/0.parquet").to_pylist()
    for split in ("dev", "test"):
        schema.write_shard(folder / "human" / split / "0.parquet", rows[1:4])
    warm = {"schedule": {"steps": 6, "warmup": 1}, "batch": 4}
    warm["every"] = {"log": 1, "eval": 3, "save": 3, "keep": 1}
    values = tiny_mini.settings(folder, encoder, tiny_mini.decoder(folder / "decoder"), warm_up=warm)
    found = load(MiniRun, write(folder / "mini.yaml", values))
    mini(found)
    return found


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
        embeddings, _, counts = embedded(model, ids, torch.from_numpy(example.features))
        read = model(inputs_embeds=embeddings).logits.log_softmax(-1)
    assert counts.tolist() == [300]
    # States are kept in float16.
    torch.testing.assert_close(read, heard, atol=2e-2, rtol=0)


def test_the_answer_is_what_the_loss_is_taken_of(run: MiniRun) -> None:
    built = build(stage_2(run))
    listener = Listener.of(run, built, "people", 3)
    example = listener.examples.of(listener.rows[0])
    scored = [label for label in example.labels if label != -100]
    assert built.processor.tokenizer.decode(scored) == listener.rows[0]["answer"] + "<end_of_turn>"
    found = listener.losses()
    assert set(found) == {"right", "shuffled", "none"}
    assert len(set(found.values())) == 3


def test_anothers_audio_is_that_of_another_clip(run: MiniRun) -> None:
    """Also where the next row asks about the same clip."""
    listener = Listener.of(run, build(stage_2(run)), "people", 3)
    first, second = listener.rows[:2]
    once = dataclasses.replace(listener, rows=[first, second]).losses(("shuffled",))
    twice = dataclasses.replace(listener, rows=[first, first, second, second]).losses(("shuffled",))
    assert twice["shuffled"] == pytest.approx(once["shuffled"], rel=1e-4)


def test_a_run_writes_its_page_and_does_nothing_twice(run: MiniRun) -> None:
    page = run.report.read_text("utf-8")
    for said in ("| people |", "| held-out voices |", "librivox", "WER, greedy", "warm-up by CTC", "reached"):
        assert said in page
    steps = json.loads((run.listen.run / "mini.json").read_text())
    assert list(steps) == ["features", "warm_up", "listen", "evaluation"]
    before = losses(run.listen.run)
    assert mini(run, resume=True) == steps
    assert losses(run.listen.run) == before
    with pytest.raises(ConfigError, match="--resume"):
        mini(run)
    for changed, said in (("weigh={asr: 2}", "weigh"), ("listen.batch.per_device=4", "per_device was 2")):
        further = load(MiniRun, run.report.with_name("mini.yaml"), [changed])
        with pytest.raises(CheckpointMismatch, match=said):
            mini(further, resume=True)
    other = load(MiniRun, run.report.with_name("mini.yaml"), ["listen.lora.rank=4"])
    with pytest.raises(CheckpointMismatch, match=r"lora\.rank was 8 and is 4"):
        evaluate(other)


def test_only_adapter_and_lora_are_trained_and_resumed_to_the_bit(run: MiniRun) -> None:
    held = load_file(run.listen.run / "checkpoint-4/trainable.safetensors")
    assert all(name.startswith(("ln_speech", "speech_audio_adapter")) or ".lora_" in name for name in held)
    before = losses(run.listen.run)
    (run.listen.run / "checkpoint-4").rename(run.listen.run.with_name("checkpoint-4"))
    listen(run, resume=True)
    assert losses(run.listen.run) == before
    again = load_file(run.listen.run / "checkpoint-4/trainable.safetensors")
    assert all(torch.equal(held[name], again[name]) for name in held)


def test_a_run_goes_on_from_what_another_has_trained(run: MiniRun, tmp_path: Path) -> None:
    path = shutil.copytree(run.listen.run / "checkpoint-4", tmp_path / "first" / "checkpoint-4") / WEIGHTS
    changed = [f"listen.run={tmp_path / 'on'}", f"listen.model.trained_weights={path}"]
    changed.append("listen.optimiser.peak_lr=0.0")
    further = load(MiniRun, run.report.with_name("mini.yaml"), changed)
    assert warm_up(further, resume=True) == warm_up(run, resume=True)  # is not done again
    listen(further)
    held, after = load_file(path), load_file(tmp_path / "on/checkpoint-4/trainable.safetensors")
    assert all(torch.equal(held[name], after[name]) for name in held)
    path.unlink()
    assert trained(further)  # by its own checkpoint: only the beginning needs the other's
    with pytest.raises(ConfigError, match="is not there, or its checkpoint is not whole"):
        mini(
            load(MiniRun, run.report.with_name("mini.yaml"), [*changed, f"listen.run={tmp_path / 'new'}"]),
            True,
        )


def test_what_was_trained_over_other_weights_is_refused(run: MiniRun, tmp_path: Path) -> None:
    other = shutil.copytree(run.listen.run / "checkpoint-4", tmp_path / "checkpoint-4")
    base = json.loads((other / "base.json").read_text())
    (other / "base.json").write_text(json.dumps({**base, "frozen": base["frozen"][::-1]}))
    mark_whole(other)
    changed = [f"listen.run={tmp_path / 'on'}", f"listen.model.trained_weights={other / WEIGHTS}"]
    with pytest.raises(CheckpointMismatch, match="other frozen weights"):
        listen(load(MiniRun, run.report.with_name("mini.yaml"), changed))


def test_joined_clips_are_learnt_from_by_ctc_too(run: MiniRun) -> None:
    joining = dataclasses.replace(run, join={"asr": 8})
    built = build(stage_2(joining))
    trainer = trainer_of(joining, stage_2(joining), built, 0)
    examples = trainer.train_dataset._items
    joined = [place for place, row in enumerate(examples.rows) if row["id"].startswith("joined-")]
    assert len(joined) > 1  # but for what is too long
    batch = trainer.data_collator([[examples[place] for place in joined]])
    assert any(batch["spoken"])


def test_a_corpus_that_says_nothing_of_voices_teaches_none(run: MiniRun, tmp_path: Path) -> None:
    voiced = dataclasses.replace(run, voice_weight=0.3)
    voiced = dataclasses.replace(voiced, listen=dataclasses.replace(run.listen, run=tmp_path / "listen"))
    with pytest.raises(DataError, match="Take `ask` and `voice_weight` out of the config"):
        listen(voiced)


def test_a_tasks_rows_weigh_what_the_config_says(run: MiniRun, tmp_path: Path) -> None:
    """Twice the weight for all is twice the loss of the first step; nothing else of it changes."""
    found = []
    for weight in (1.0, 2.0):
        own = dataclasses.replace(run.listen, run=tmp_path / str(weight))
        listen(dataclasses.replace(run, listen=own, ctc_weight=0.0, weigh={"asr": weight}))
        found.append(losses(own.run)[1])
    assert found[1] == pytest.approx(2 * found[0], rel=1e-4)


def test_a_tasks_rows_are_heard_as_often_as_the_config_says(run: MiniRun) -> None:
    built = build(stage_2(run))
    features = Features(folder_of(run, "corpus"), "train")
    turns, token = Turns(built.processor, 640), built.model.config.speech_token_index
    once = StateExamples(features, turns, token, 5)
    often = StateExamples(features, turns, token, 5, {"asr": 3})
    asked = Counter(row["task"] for row in once.rows)
    assert Counter(row["task"] for row in often.rows) == asked | {"asr": 3 * asked["asr"]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("listen.model.tail=50", "features.short"),
        ("ask={gender: 0}", "at least one"),
        ("join={asr: -5}", "at least one"),
        ("join={gender: 5}", "tasks to join are asr, sqa"),
        ("ask={sqa: 5}", "a voice tells gender, accent"),
        ("listen.model.train_encoder=true", "train_encoder: false"),
        ("listen.model.stack=12", "1, 3, 5 or 15"),
        ("listen.spec_augment={}", "spec_augment"),
        ("eval_rows=1", "at least 2"),
        ("repeat={gender: 0}", "at least once"),
        ("weigh={gender: -1}", "0 or more"),
        ("weigh={gendr: 4}", "weigh names gendr; tasks are asr"),
        ("voice_weight=-1", "at least 0"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(changed: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(MiniRun, ROOT / "training/configs/mini.yaml", [changed])


def test_the_configs_are_read() -> None:
    run = load(MiniRun, ROOT / "training/configs/mini.yaml")
    further = load(AudioLLMRun, ROOT / "training/configs/mini_gpu.yaml")
    assert further.model.stack == run.listen.model.stack == 5
    first = run.listen.lora
    assert first
    assert further.lora == dataclasses.replace(first, dropout=0.05)  # a GPU draws it for nothing
