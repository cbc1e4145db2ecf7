"""The audio LLM in transformers: every published layout loads, and computes what the paper says."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    WhisperConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model.checkpoints.build import build
from model.checkpoints.inspect import CheckpointError, inspect
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor
from tests.vllm.sounds import clip

Make = Callable[..., Path]
CLOSE = 1e-4  # of a log-prob; float32 in another order
FAR = 1e-2  # of a log-prob that must have moved

KINDS: list[dict[str, Any]] = [
    {"layout": "v1", "v1_index": 2},
    {"layout": "v1", "v1_index": 2, "lm_head": True},
    {"layout": "v1", "v1_index": 3},
    {"layout": "v1", "v1_index": 3, "lm_head": True, "decoder": "llama"},
    {"layout": "v2"},
    {"layout": "v2", "lm_head": True},
    {"layout": "v3-asr", "shards": 3},
    {"layout": "open", "decoder": "llama"},
    {"layout": "open", "decoder": "llama", "adapter": "gated", "decoder_size": {"tie_word_embeddings": True}},
]


def named(kind: dict[str, Any]) -> str:
    return "-".join(str(value) for value in kind.values())


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """The tensors of all files, under the names in the files."""
    return {
        name: value
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def prompt(processor: AudioLLMProcessor, *clips: Any, query: str = "Please transcribe this speech.") -> Any:
    """What the model reads for one user turn about some clips."""
    content = [*[{"type": "audio"}] * len(clips), {"type": "text", "text": query}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    return processor(text, list(clips), return_tensors="pt")


def load(folder: Path) -> tuple[AudioLLMForConditionalGeneration, AudioLLMProcessor]:
    model = AudioLLMForConditionalGeneration.from_pretrained(folder)
    return model, AudioLLMProcessor.from_pretrained(folder)


@torch.no_grad()
def log_probs(model: Any, read: Any) -> Tensor:
    """Log-probs [tokens, vocabulary] of the first row."""
    return model(**read).logits[0].float().log_softmax(-1)


@torch.no_grad()
def by_hand(folder: Path, read: Any) -> Tensor:
    """The same from raw tensors: transformers' own encoder and decoder, and the paper's formulas between."""
    config = json.loads((folder / "config.json").read_text())
    raw = {name: value.float() for name, value in tensors_of(folder).items()}

    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: value for name, value in raw.items() if name.startswith(prefix)}

    speech = {name: value for name, value in config["speech_config"].items() if name != "model_type"}
    encoder = WhisperEncoder(WhisperConfig(**speech)).eval()
    encoder.load_state_dict(part("speech_encoder."))
    text = dict(config["text_config"])
    text_config = CONFIG_MAPPING[text.pop("model_type")](**text)
    decoder = AutoModelForCausalLM.from_config(text_config, attn_implementation="eager").eval()
    head = part("text_decoder.lm_head.") or {"weight": raw["text_decoder.model.embed_tokens.weight"]}
    decoder.load_state_dict({**part("text_decoder."), "lm_head.weight": head["weight"]}, strict=True)

    states = encoder(read["input_features"]).last_hidden_state
    states = F.layer_norm(states, states.shape[-1:], raw["ln_speech.weight"], raw["ln_speech.bias"])
    a = part("speech_audio_adapter.")
    joined = torch.stack([torch.cat(list(fifteen)) for window in states for fifteen in window.split(15)])
    x = F.silu(joined @ a["mlp_adapter.0.weight"].T + a["mlp_adapter.0.bias"])
    if "gate_proj.weight" in a:
        gate = F.silu(x @ a["gate_proj.weight"].T + a["gate_proj.bias"])
        pool = x @ a["pool_proj.weight"].T + a["pool_proj.bias"]
        spoken = (gate * pool) @ a["out_proj.weight"].T + a["out_proj.bias"]
    else:
        last = "2" if "speech_llm_proj.2.weight" in a else "3"
        x = F.silu(x @ a["speech_llm_proj.0.weight"].T + a["speech_llm_proj.0.bias"])
        spoken = x @ a[f"speech_llm_proj.{last}.weight"].T + a[f"speech_llm_proj.{last}.bias"]
    embeddings = raw["text_decoder.model.embed_tokens.weight"][read["input_ids"][0]].clone()
    embeddings[read["input_ids"][0] == config["speech_token_index"]] = spoken
    if config["text_config"]["model_type"] == "gemma2":
        embeddings *= embeddings.shape[-1] ** 0.5
    return decoder(inputs_embeds=embeddings[None]).logits[0].log_softmax(-1)


@pytest.mark.parametrize("kind", KINDS, ids=named)
def test_every_layout_computes_what_its_tensors_say(checkpoint: Make, kind: dict[str, Any]) -> None:
    """And uses every tensor of the file, and makes none up."""
    folder = checkpoint(**kind)
    assert inspect(folder).problems == []
    model, loading = AudioLLMForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values()), loading
    read = prompt(AudioLLMProcessor.from_pretrained(folder), clip(31))
    assert torch.allclose(log_probs(model, read), by_hand(folder, read), atol=CLOSE, rtol=0)


PUBLISHED = {
    "v1": {"mlp_adapter.0", "speech_llm_proj.0", "speech_llm_proj.3"},
    "v2": {"mlp_adapter.0", "gate_proj", "pool_proj", "out_proj"},
    "v3-asr": {"mlp_adapter.0", "gate_proj", "pool_proj", "out_proj"},
    "open": {"mlp_adapter.0", "speech_llm_proj.0", "speech_llm_proj.3"},
}


@pytest.mark.parametrize("layout", PUBLISHED)
def test_the_names_are_the_published_ones_and_stay_so(checkpoint: Make, tmp_path: Path, layout: str) -> None:
    """Loaded by transformers' Auto classes and saved again: the same names, answers and configuration."""
    folder = checkpoint(layout)
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert isinstance(model, AudioLLMForConditionalGeneration) and isinstance(processor, AudioLLMProcessor)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    saved = tensors_of(tmp_path)
    assert saved.keys() == tensors_of(folder).keys()
    adapter = {name.rpartition(".")[0] for name in saved if name.startswith("speech_audio_adapter.")}
    assert adapter == {f"speech_audio_adapter.{name}" for name in PUBLISHED[layout]}
    assert {
        "speech_encoder.conv1.weight",
        "ln_speech.weight",
        "text_decoder.model.norm.weight",
    } <= saved.keys()
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == model.config.model_type
    assert inspect(tmp_path).problems == []
    again, reader = load(tmp_path)
    read, reread = prompt(processor, clip(3)), prompt(reader, clip(3))
    assert torch.equal(read["input_ids"], reread["input_ids"])
    assert torch.equal(log_probs(model, read), log_probs(again, reread))


def test_a_decoder_with_its_own_template_keeps_it_through_saving(checkpoint: Make, tmp_path: Path) -> None:
    model, processor = load(checkpoint("open", decoder="llama"))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, reader = load(tmp_path)
    read, reread = prompt(processor, clip(3)), prompt(reader, clip(3))
    assert torch.equal(read["input_ids"], reread["input_ids"])
    assert torch.equal(log_probs(model, read), log_probs(again, reread))


def test_the_configuration_says_what_the_release_left_unsaid(checkpoint: Make) -> None:
    folder = checkpoint("v2")
    config = AutoConfig.from_pretrained(folder)
    assert (config.layout.id, config.adapter_kind, config.window_tokens) == ("v2", "gated", 100)
    assert config.embedding_scale == 8  # the square root of 64
    assert AutoConfig.from_pretrained(checkpoint("open", decoder="llama")).embedding_scale == 1
    assert AutoModelForCausalLM.from_pretrained(folder).config.layout.id == "v2"


@pytest.mark.parametrize(
    "name",
    ["speech_audio_adapter.mlp_adapter.0.weight", "ln_speech.weight", "speech_encoder.layers.0.fc1.weight"],
)
def test_what_is_heard_changes_what_is_said(checkpoint: Make, name: str) -> None:
    """Otherwise agreement with a reference would prove nothing."""
    model, processor = load(checkpoint("v2"))
    read = prompt(processor, clip(3))
    before = log_probs(model, read)[-1]
    with torch.no_grad():
        weight = model.get_parameter(name)
        weight += 0.3 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    assert (log_probs(model, read)[-1] - before).abs().max() > FAR


def test_the_scale_each_window_and_their_order_matter(checkpoint: Make) -> None:
    model, processor = load(checkpoint("v2"))
    read = prompt(processor, clip(61))
    before = log_probs(model, read)[-1]
    for window in range(3):
        features = read["input_features"].clone()
        features[window] = features[(window + 1) % 3]
        assert (log_probs(model, {**read, "input_features": features})[-1] - before).abs().max() > FAR / 10
    turned = {**read, "input_features": read["input_features"].flip(0)}
    assert (log_probs(model, turned)[-1] - before).abs().max() > FAR / 10
    with torch.no_grad():
        model.speech_audio_adapter.out_proj.weight.div_(model.config.embedding_scale)
        model.speech_audio_adapter.out_proj.bias.div_(model.config.embedding_scale)
    assert (log_probs(model, read)[-1] - before).abs().max() > FAR


@pytest.mark.parametrize(("decoder", "tail"), [("gemma2", None), ("llama", None), ("llama", 40)])
def test_rows_of_a_batch_answer_as_alone(checkpoint: Make, decoder: str, tail: int | None) -> None:
    """Rows with two clips, with one clip, and without any, padded on the left; windows whole or cut."""
    model, processor = load(checkpoint("open", decoder=decoder))
    processor.tail = tail
    template = processor.apply_chat_template
    contents: list[tuple[list[Any], list[Any]]] = [
        (["One:", None, "two:", None, "Which is longer?"], [clip(2, 1), clip(31, 2)]),
        (["Hello."], []),
        ([None, "Please transcribe this speech."], [clip(3, 3)]),
    ]
    texts = []
    for parts, _ in contents:
        content = [{"type": "text", "text": part} if part else {"type": "audio"} for part in parts]
        texts.append(
            template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
        )
    together = processor(texts, [sound for _, sounds in contents for sound in sounds], return_tensors="pt")
    assert together["input_features"].shape[0] == 1 + 2 + 1
    with torch.no_grad():
        logits = model(**together).logits
    written = model.generate(**together, max_new_tokens=4, do_sample=False)
    beams = model.generate(**together, max_new_tokens=4, do_sample=False, num_beams=2)
    for row, (text, (_, sounds)) in enumerate(zip(texts, contents, strict=True)):
        alone = processor(text, sounds, return_tensors="pt")
        length = alone["input_ids"].shape[1]
        own, answer = logits[row, -length:].log_softmax(-1), written[row, together["input_ids"].shape[1] :]
        assert torch.allclose(own, log_probs(model, alone), atol=CLOSE, rtol=0)
        assert ended(model.generate(**alone, max_new_tokens=4, do_sample=False)[0, length:]) == ended(answer)
        best = model.generate(**alone, max_new_tokens=4, do_sample=False, num_beams=2)[0, length:]
        assert ended(best) == ended(beams[row, together["input_ids"].shape[1] :])


def ended(tokens: Tensor) -> list[int]:
    """An answer up to its end; rows that end early are padded with 0."""
    return [int(token) for token in tokens if int(token)]


def test_places_and_windows_must_be_as_many(checkpoint: Make) -> None:
    model, processor = load(checkpoint("v1", v1_index=3))
    read = prompt(processor, clip(31))
    with pytest.raises(ValueError, match="has 200 audio places and the audio fills 100"):
        model(input_ids=read["input_ids"], input_features=read["input_features"][:1])


def test_the_loss_is_the_mean_over_scored_tokens(checkpoint: Make) -> None:
    model, processor = load(checkpoint("v1", v1_index=3))
    read = prompt(processor, clip(3))
    labels = read["input_ids"].clone()
    labels[:, :-4] = -100
    with torch.no_grad():
        loss = float(model(**read, labels=labels).loss)
    scored = log_probs(model, read)[-5:-1].gather(1, labels[0, -4:, None])
    assert loss == pytest.approx(-float(scored.mean()), abs=1e-5)


def test_gradients_reach_the_encoder_through_the_adapter(checkpoint: Make) -> None:
    model, processor = load(checkpoint("v2"))
    read = prompt(processor, clip(3))
    model(**read, labels=read["input_ids"]).loss.backward()
    for name in ("speech_encoder.conv1.weight", "ln_speech.weight", "speech_audio_adapter.gate_proj.weight"):
        gradient = model.get_parameter(name).grad
        assert gradient is not None and float(gradient.abs().sum()) > 0


def test_a_damaged_folder_is_refused_in_words(checkpoint: Make, tmp_path: Path) -> None:
    folder = build(tmp_path, "v2", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"model-00002-of-00003\.safetensors is missing; download it again"
    ):
        AudioLLMForConditionalGeneration.from_pretrained(folder)


def test_an_adapter_that_was_published_without_biases_has_none(tmp_path: Path) -> None:
    folder = build(tmp_path, "v2")
    weights = tensors_of(folder)
    kept = {
        n: t for n, t in weights.items() if not (n.startswith("speech_audio_adapter.") and n.endswith("bias"))
    }
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    model = AudioLLMForConditionalGeneration.from_pretrained(folder)
    assert not any(value.any() for name, value in model.named_parameters() if "gate_proj.bias" in name)


def test_half_precision_stays_near(checkpoint: Make) -> None:
    model, processor = load(checkpoint("v2"))
    read = prompt(processor, clip(3))
    exact = log_probs(model, read)
    assert (log_probs(model.to(torch.bfloat16), read) - exact).abs().max() < 0.5


def test_loading_shards_needs_little_more_than_the_weights(tmp_path: Path) -> None:
    folder = build(tmp_path, "open", preset="base-100m", shards=4, dtype="bfloat16")
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    gc.collect()
    before = peak(reset=True)
    model = AudioLLMForConditionalGeneration.from_pretrained(folder, dtype=torch.bfloat16)
    grown = peak() - before
    assert sum(value.nbytes for value in model.parameters()) == pytest.approx(size, rel=0.01)
    assert grown < 1.6 * size


def peak(reset: bool = False) -> int:
    """The most memory this process has held, in bytes; `reset` begins anew with what it holds now."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
