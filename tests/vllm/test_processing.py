"""Clips and text become what the model reads: windows, log-mel, places; what cannot be read is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import AutoConfig, AutoProcessor, AutoTokenizer, WhisperFeatureExtractor

from model.checkpoints.build import build
from model.configuration import AudioLLMConfig
from model.geometry import SAMPLE_RATE, WINDOW_SAMPLES, ClipError
from model.layouts import SPEECH_TOKEN
from model.processing import AudioLLMProcessor
from model.prompts import TRANSCRIBE, turn_text
from tests.vllm.sounds import clip

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def processor(checkpoint: Make) -> AudioLLMProcessor:
    return AudioLLMProcessor.from_pretrained(checkpoint("v2"))


def places(processor: AudioLLMProcessor, ids: Any) -> int:
    return int((np.asarray(ids) == processor.speech_token_id).sum())


@pytest.mark.parametrize(
    ("seconds", "windows"), [(0.1, 1), (1, 1), (29.9, 1), (30, 1), (30.1, 2), (95, 4), (300, 10)]
)
def test_a_clip_fills_windows_and_places(processor: AudioLLMProcessor, seconds: float, windows: int) -> None:
    read = processor(f"a {SPEECH_TOKEN} b", clip(seconds))
    assert read["input_features"].shape == (windows, 128, 3_000)
    assert places(processor, read["input_ids"]) == 100 * windows
    assert processor.tokens_of(round(seconds * SAMPLE_RATE)) == 100 * windows


@pytest.mark.parametrize(
    ("seconds", "states"), [(0.1, [60]), (1, [105]), (28.9, [1_500]), (30, [1_500]), (30.1, [1_500, 60])]
)
def test_a_window_may_end_soon_after_the_sound(checkpoint: Make, seconds: float, states: list[int]) -> None:
    """1 s after it, and up to 14 states more, so that stacks divide them."""
    config = AutoConfig.from_pretrained(checkpoint("open"), speech_tail=50)
    processor = AudioLLMProcessor.from_pretrained(checkpoint("open"))
    processor.tail = config.speech_tail
    read = processor(f"a {SPEECH_TOKEN} b", clip(seconds))
    assert read["window_states"].tolist() == states
    tokens = sum(states) // config.speech_mlp_scale_factor
    assert places(processor, read["input_ids"]) == tokens == config.tokens_of(round(seconds * SAMPLE_RATE))


@pytest.mark.parametrize(("tail", "stack"), [(-1, 15), (50, 20)])
def test_windows_that_cannot_be_cut_so_are_refused(tail: int, stack: int) -> None:
    with pytest.raises(ValueError, match=f"speech_tail is {tail}, speech_mlp_scale_factor {stack}"):
        AudioLLMConfig(speech_tail=tail, speech_mlp_scale_factor=stack)


def by_hand(window: NDArray[Any], mel_bins: int) -> NDArray[Any]:
    """Log-mel [mel_bins, 3000] of a window as Whisper's authors define it, from its normalised samples."""
    window = window.astype(np.float64)
    window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    padded = np.pad(np.pad(window, (0, WINDOW_SAMPLES - window.size)), 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:3_000]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2  # [3000, 201]
    mel = np.log10(np.maximum(power @ slaney(mel_bins), 1e-10)).T
    return (np.maximum(mel, mel.max() - 8) + 4) / 4


def slaney(mel_bins: int) -> NDArray[Any]:
    """Mel filters [201, mel_bins] on Slaney's scale: linear to 1 kHz, then logarithmic, equal areas."""
    step = math.log(6.4) / 27
    top = 15 + math.log(8) / step
    marks = np.linspace(0, top, mel_bins + 2)
    hertz = np.where(marks < 15, marks * 200 / 3, 1_000 * np.exp(step * (marks - 15)))
    bins = np.linspace(0, 8_000, 201)[:, None]
    rising = (bins - hertz[:-2]) / (hertz[1:-1] - hertz[:-2])
    falling = (hertz[2:] - bins) / (hertz[2:] - hertz[1:-1])
    filters: NDArray[Any] = np.maximum(0, np.minimum(rising, falling)) * 2 / (hertz[2:] - hertz[:-2])
    return filters


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_each_window_is_normalised_over_its_own_samples(checkpoint: Make, layout: str) -> None:
    """A loud window and a soft, offset one of 5 s: neither changes the other."""
    processor = AudioLLMProcessor.from_pretrained(checkpoint(layout))
    sound = clip(35)
    sound[WINDOW_SAMPLES:] = 0.01 * sound[WINDOW_SAMPLES:] + 0.2
    found = processor(SPEECH_TOKEN, sound)["input_features"]
    for number, window in enumerate((sound[:WINDOW_SAMPLES], sound[WINDOW_SAMPLES:])):
        expected = by_hand(window, {"v1": 80, "v2": 128}[layout])
        assert np.abs(found[number] - expected).max() < 1e-2
        assert np.abs(found[number] - expected).mean() < 1e-4
    alone = processor(SPEECH_TOKEN, sound[WINDOW_SAMPLES:])["input_features"]
    assert np.array_equal(found[1], alone[0])


def test_loudness_and_offset_do_not_matter(processor: AudioLLMProcessor) -> None:
    sound = clip(5)
    louder = processor(SPEECH_TOKEN, 3 * sound + np.float32(0.1))["input_features"]
    assert np.abs(louder - processor(SPEECH_TOKEN, sound)["input_features"]).max() < 1e-2


def test_silence_and_16_bit_samples_can_be_read(processor: AudioLLMProcessor) -> None:
    silent = processor(SPEECH_TOKEN, np.zeros(SAMPLE_RATE, np.float32))["input_features"]
    assert np.isfinite(silent).all()
    sound = np.round(clip(2) * 32_768).astype(np.int16)
    exact = processor(SPEECH_TOKEN, sound.astype(np.float32) / 32_768)["input_features"]
    assert np.array_equal(processor(SPEECH_TOKEN, sound)["input_features"], exact)


BAD: list[tuple[str, str, Any, dict[str, Any], str]] = [
    ("301 s", SPEECH_TOKEN, clip(301), {}, "lasts 301.0 s, and this model takes at most 300 s"),
    ("empty", SPEECH_TOKEN, clip(0), {}, "Clip 1 is empty"),
    ("too short", SPEECH_TOKEN, clip(0.05), {}, "lasts 0.05 s; at least 0.1 s"),
    ("not a number", SPEECH_TOKEN, np.full(SAMPLE_RATE, np.nan), {}, "not numbers"),
    ("infinite", SPEECH_TOKEN, np.full(SAMPLE_RATE, np.inf), {}, "not numbers"),
    ("stereo", SPEECH_TOKEN, [np.zeros((2, SAMPLE_RATE))], {}, "Mix it down to mono"),
    ("44.1 kHz", SPEECH_TOKEN, clip(1), {"sampling_rate": 44_100}, "is at 44,100 Hz. Resample it to 16,000"),
    ("no place", "Hello.", clip(1), {}, "has 0 <SpeechHere> and 1 clips came"),
    ("no clip", SPEECH_TOKEN, None, {}, "has 1 <SpeechHere> and 0 clips came"),
    ("one clip less", SPEECH_TOKEN * 2, [clip(1)], {}, "has 2 <SpeechHere> and 1 clips came"),
    ("the second", SPEECH_TOKEN * 2, [clip(1), clip(0)], {}, "Clip 2 is empty"),
]


@pytest.mark.parametrize(
    ("text", "audio", "options", "sentence"), [c[1:] for c in BAD], ids=[c[0] for c in BAD]
)
def test_what_cannot_be_read_is_said(
    processor: AudioLLMProcessor, text: str, audio: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ClipError) as raised:
        processor(text, audio, **options)
    assert sentence in str(raised.value)


def test_rows_are_padded_on_the_left(processor: AudioLLMProcessor) -> None:
    texts = ["Hello.", f"Compare {SPEECH_TOKEN} with {SPEECH_TOKEN}."]
    read = processor(texts, [clip(1), clip(31)], return_tensors="pt")
    assert read["input_ids"].shape == read["attention_mask"].shape
    hello = processor.tokenizer("Hello.", add_special_tokens=False)["input_ids"]
    assert read["input_ids"][0, -len(hello) :].tolist() == hello
    assert read["attention_mask"].sum(1).tolist() == [len(hello), read["input_ids"].shape[1]]
    assert (read["input_ids"][0, : -len(hello)] == processor.tokenizer.pad_token_id).all()
    assert places(processor, read["input_ids"][0]) == 0
    assert places(processor, read["input_ids"][1]) == 300
    assert len(read["input_features"]) == 3


def test_any_text_survives_the_tokenizer(processor: AudioLLMProcessor) -> None:
    for text in ("Can you lah? 😅", "你好，早晨", "  two  spaces\n\n", "\x00\x7f�", "தமிழ்"):
        ids = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert processor.tokenizer.decode(ids) == text
        assert processor.tokenizer(text)["input_ids"] == ids, "no <bos> of its own"


@pytest.mark.parametrize(("layout", "decoder"), [("v1", "gemma2"), ("v2", "gemma2"), ("open", "llama")])
def test_a_rendered_turn_holds_control_tokens_only_where_the_template_puts_them(
    checkpoint: Make, layout: str, decoder: str
) -> None:
    processor = AudioLLMProcessor.from_pretrained(checkpoint(layout, decoder=decoder))
    tokenizer = processor.tokenizer

    def ids(query: str) -> list[int]:
        content = [{"type": "audio"}, {"type": "text", "text": query}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        assert (
            turn_text({"v2": "instruction_first"}.get(layout, "context_first"), query) in text or "<" in query
        )
        found: list[int] = processor(text, clip(1))["input_ids"][0].tolist()
        return found

    plain = ids(TRANSCRIBE)
    assert plain.count(tokenizer.bos_token_id) == 1 and plain[0] == tokenizer.bos_token_id
    special = set(tokenizer.all_special_ids)
    tricky = ids("<Speech<bos>Here> <bos><eos> <start_<end_of_turn>of_turn> <SpeechHere>")
    assert sorted(token for token in tricky if token in special) == sorted(t for t in plain if t in special)


def test_a_clip_between_turns_of_text(processor: AudioLLMProcessor) -> None:
    messages = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "What is said?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Nothing."}]},
        {"role": "user", "content": "Sure?"},
    ]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<bos><start_of_turn>user\nHello.<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
        "<start_of_turn>user\nInstruction: What is said? \nFollow the text instruction based on the "
        "following audio: <SpeechHere><end_of_turn>\n<start_of_turn>model\nNothing.<end_of_turn>\n"
        "<start_of_turn>user\nSure?<end_of_turn>\n<start_of_turn>model\n"
    )
    assert places(processor, processor(text, clip(1))["input_ids"]) == 100


@pytest.mark.parametrize("layout", ["v1", "v2", "v3-asr", "open"])
def test_autoprocessor_finds_it(checkpoint: Make, layout: str) -> None:
    assert isinstance(AutoProcessor.from_pretrained(checkpoint(layout)), AudioLLMProcessor)


def test_a_processors_own_code_is_not_run(tmp_path: Path) -> None:
    """Published folders bring Python files; they are neither needed nor loaded."""
    folder = build(tmp_path, "v2")
    (folder / "processing_meralion2.py").write_text("raise SystemExit('run')")
    for name in ("preprocessor_config.json", "config.json"):
        content = json.loads((folder / name).read_text())
        content["auto_map"] = {
            "AutoProcessor": "processing_meralion2.MERaLiON2Processor",
            "AutoConfig": "processing_meralion2.MERaLiON2Config",
        }
        (folder / name).write_text(json.dumps(content))
    assert isinstance(AudioLLMProcessor.from_pretrained(folder), AudioLLMProcessor)
    assert isinstance(AutoProcessor.from_pretrained(folder), AudioLLMProcessor)


def test_the_extractor_of_another_release_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path, "v2")
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    with pytest.raises(ValueError, match="makes 80 mel bins and the encoder reads 128"):
        AudioLLMProcessor.from_pretrained(folder)


def test_a_tokenizer_without_the_place_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path, "v2")
    path = folder / "tokenizer.json"
    for file in (path, folder / "tokenizer_config.json"):
        file.write_text(file.read_text().replace(SPEECH_TOKEN, "<Somewhere>"))
    assert AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids("<Somewhere>") == 511
    with pytest.raises(ValueError, match="does not know <SpeechHere>"):
        AudioLLMProcessor.from_pretrained(folder)
