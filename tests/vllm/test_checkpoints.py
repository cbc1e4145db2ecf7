"""Checkpoints made here: random ones as releases are written, and one of real parts, working as before."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ctranslate2
import numpy as np
import pytest
import torch
from faster_whisper.audio import decode_audio
from safetensors.torch import load_file

from model.checkpoints.__main__ import main
from model.checkpoints.build import build
from model.checkpoints.convert import convert, smollm2
from model.checkpoints.ctranslate2_file import whisper_encoder
from model.checkpoints.inspect import inspect
from model.embedded.weights import default_cache, whisper_folder
from model.layouts import SPEECH_TOKEN, SPEECH_TOKEN_INDEX
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor, mel_windows
from model.prompts import TRANSCRIBE, turn_text
from tests.speech import ROOT

Make = Callable[..., Path]
QUESTION = "What is the capital of France?"
SAMPLE = ROOT / "samples/clips/sg-storm.mp3"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model.checkpoints", *arguments],
        cwd=ROOT,
        env={"PATH": "", "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_builds_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = f"build {tmp_path / 'a'} --layout v1 --shards 3 --dtype bfloat16 --v1-index 2 --lm-head"
    assert main(wanted.split()) == 0
    said = capsys.readouterr().out
    assert "MERaLiON-AudioLLM (layout v1)" in said and "It can be served." in said
    report = inspect(tmp_path / "a")
    assert report.dtype == "bfloat16" and report.adapter == "mlp"
    assert {
        "speech_audio_adapter.speech_llm_proj.2.weight",
        "text_decoder.lm_head.weight",
    } <= report.names
    assert len(list((tmp_path / "a").glob("model-0000?-of-00003.safetensors"))) == 3


def test_the_same_seed_builds_the_same_and_another_does_not(tmp_path: Path, checkpoint: Make) -> None:
    first = load_file(checkpoint("v2") / "model.safetensors")
    same = load_file(build(tmp_path / "same", "v2") / "model.safetensors")
    other = load_file(build(tmp_path / "other", "v2", seed=1) / "model.safetensors")
    assert first.keys() == same.keys() and all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["ln_speech.weight"], other["ln_speech.weight"])


def test_a_folder_built_again_keeps_nothing_of_before(tmp_path: Path) -> None:
    build(tmp_path, "v2", shards=3)
    build(tmp_path, "v1")
    assert [file.name for file in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert inspect(tmp_path).problems == []


def test_the_files_are_the_published_ones(checkpoint: Make) -> None:
    folder = checkpoint("v2")
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "meralion2"
    assert config["speech_mlp_scale_factor"] == 15 and config["speech_mlp_use_projection"]
    assert config["hidden_size"] == config["text_config"]["hidden_size"]
    assert config["speech_config"]["num_mel_bins"] == 128
    assert config["speech_token_index"] == 511 != SPEECH_TOKEN_INDEX
    stops = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    tokenizer = AudioLLMProcessor.from_pretrained(folder).tokenizer
    assert tokenizer.convert_ids_to_tokens(stops) == ["<eos>", "<end_of_turn>"]
    assert len(tokenizer) == config["text_config"]["vocab_size"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layout_id": "v9"}, "There is no layout 'v9'"),
        ({"decoder": "mamba"}, "There is no decoder 'mamba'"),
        ({"preset": "huge"}, "There is no preset 'huge'"),
        ({"decoder_size": {"vocab_size": 100}}, "has no room for"),
        ({"shards": 10_000}, "cannot be cut into 10000 files"),
        ({"layout_id": "v2", "adapter": "mlp"}, "The layout 'v2' has the gated adapter"),
        ({"layout_id": "v1", "adapter": "gated"}, "The layout 'v1' has the mlp adapter"),
    ],
)
def test_what_cannot_be_built_is_said(tmp_path: Path, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(tmp_path, **options)  # type: ignore[arg-type]


def test_the_command_says_what_cannot_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for arguments, sentence in (
        (["build", str(tmp_path / "a"), "--layout", "v3-asr", "--adapter", "mlp"], "has the gated adapter"),
        (["build", str(tmp_path / "a"), "--shards", "10000"], "cannot be cut into 10000 files"),
        (["build", str(tmp_path / "file" / "a")], "cannot be written to (Not a directory)"),
        (["convert", str(tmp_path / "file")], "cannot be written to (File exists)"),
    ):
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err


def test_a_download_names_the_licence_and_waits_for_a_yes(tmp_path: Path) -> None:
    asked = run("download", "MERaLiON/MERaLiON-2-3B", str(tmp_path / "a"))
    assert asked.returncode == 1
    assert "MERaLiON Public Licence v3" in asked.stdout and "--accept-licence" in asked.stdout
    assert not (tmp_path / "a").exists()


def test_a_download_without_a_network_says_so(tmp_path: Path) -> None:
    failed = run("download", "MERaLiON/MERaLiON-2-3B", str(tmp_path / "a"), "--accept-licence")
    assert failed.returncode == 1
    assert "could not be fetched" in failed.stderr and "Traceback" not in failed.stderr


class Real(NamedTuple):
    """The converted checkpoint, and what SmolLM2 said before it became part of it."""

    folder: Path
    model: AudioLLMForConditionalGeneration
    processor: AudioLLMProcessor
    said: str


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    model, tokenizer = smollm2()
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    said = model.generate(**asked, max_new_tokens=20, do_sample=False)[0, asked["input_ids"].shape[1] :]
    folder = convert(tmp_path_factory.mktemp("real"), decoder=(model, copy.deepcopy(tokenizer)))
    return Real(
        folder,
        AudioLLMForConditionalGeneration.from_pretrained(folder),
        AudioLLMProcessor.from_pretrained(folder),
        tokenizer.decode(said, skip_special_tokens=True),
    )


@pytest.mark.slow
def test_the_converted_encoder_hears_what_whisper_hears(real: Real) -> None:
    """Against CTranslate2 with the packaged file, on a recording of somebody speaking.

    By vectors: of an element float32's rounding makes 7e-4 (ours) and 2.2e-3 (CTranslate2) in a state of
    silence, on some processors; of that state 1.7e-4, of all together 4e-6.
    """
    sound = decode_audio(str(SAMPLE), sampling_rate=16_000)
    mel = mel_windows(real.processor.feature_extractor, sound[: 30 * 16_000])
    with torch.no_grad():
        ours = real.model.speech_encoder.encode(torch.tensor(mel)).numpy()
    theirs = ctranslate2.models.Whisper(str(whisper_folder(default_cache())), compute_type="float32")
    states = np.array(theirs.encode(ctranslate2.StorageView.from_array(mel)))
    assert states.shape == ours.shape == (1, 1_500, 512)
    apart, size = np.linalg.norm(ours - states, axis=-1), np.linalg.norm(states, axis=-1)
    assert (apart / size).max() < 3e-4  # of any state
    assert np.linalg.norm(apart) < 1e-5 * np.linalg.norm(size)  # of all of them


@pytest.mark.slow
def test_the_converted_decoder_says_what_smollm2_says(real: Real) -> None:
    assert inspect(real.folder).problems == []
    model, processor = real.model, real.processor
    text = processor.apply_chat_template(
        [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
    )
    asked = processor(text, return_tensors="pt")
    answer = model.generate(**asked, max_new_tokens=20, do_sample=False)[0, asked["input_ids"].shape[1] :]
    said = processor.tokenizer.decode(answer, skip_special_tokens=True)
    assert said == real.said and "Paris" in said


@pytest.mark.slow
def test_the_converted_model_reads_a_clip(real: Real) -> None:
    model, processor = real.model, real.processor
    assert (
        processor.tokenizer.convert_tokens_to_ids(SPEECH_TOKEN) == model.config.speech_token_index == 49_152
    )
    assert model.config.text_config.vocab_size % 64 == 0
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": TRANSCRIBE}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert turn_text("context_first", TRANSCRIBE) in text and text.rstrip().endswith("<|im_start|>assistant")
    read = processor(text, decode_audio(str(SAMPLE))[:160_000], return_tensors="pt")
    with torch.no_grad():
        assert torch.isfinite(model(**read).logits).all()


def test_a_file_of_another_kind_is_not_read_as_whisper(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes((3).to_bytes(4, "little") + bytes(100))
    with pytest.raises(ValueError, match="is not a CTranslate2 file of version 6"):
        whisper_encoder(path)
