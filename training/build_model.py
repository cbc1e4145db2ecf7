"""Put the model of a run together: encoder, adapter, decoder, LoRA (paper, sections 3.1 to 3.5)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model import adapter
from model.checkpoints.build import BY_ID, DECODERS, MIRRORED
from model.checkpoints.writing import parsed
from model.geometry import WINDOW_STATES
from model.layouts import SPEECH_TOKEN_INDEX
from model.modeling import AudioLLMForConditionalGeneration
from model.processing import AudioLLMProcessor, chat_template_of
from training.audiollm_config import AudioLLMRun, ModelConfig, Sizes
from training.errors import ConfigError
from training.lora import add_lora
from training.parts import Decoder, Encoder, adapter_tensors, load_checkpoint, load_decoder, load_encoder
from training.speech_token import give_speech_token

ENCODER_KEYS = ("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins")
DECODER_KEYS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
UNSAID = ("_model_name_or_path", "dtype", "torch_dtype", "transformers_version", "use_cache")
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Built:
    """A model ready to be trained, and what is written beside it at export."""

    model: AudioLLMForConditionalGeneration
    processor: AudioLLMProcessor
    config_json: dict[str, Any]
    stops: list[int]  # tokens that end an answer
    source: dict[str, str]  # what the frozen part and the starting weights were


def build(run: AudioLLMRun) -> Built:
    """The model of a run: trainable parts in fp32, LoRA in, the rest frozen in the run's precision.

    Raises ConfigError where a part cannot be loaded or has other sizes than the config says.
    """
    torch.manual_seed(run.seed)
    built = _from_checkpoint(run.model) if run.model.checkpoint else _from_parts(run.model)
    model = built.model
    if run.model.adapter_weights:
        _load_adapter(model, run.model)
    for part in (model.speech_encoder, model.ln_speech, model.speech_audio_adapter):
        part.float()
    model.text_decoder.to(DTYPES[run.compute.precision])
    choose_trainable(model, run)
    return built


def on_meta(run: AudioLLMRun, sizes: Sizes) -> AudioLLMForConditionalGeneration:
    """The model of a run by its sizes alone, without a byte of weights."""
    with torch.device("meta"):
        model = AudioLLMForConditionalGeneration(parsed(config_of_sizes(run.model, sizes)))
        choose_trainable(model, run)
    return model


def config_of_sizes(config: ModelConfig, sizes: Sizes) -> dict[str, Any]:
    """The config.json of a model with the given sizes and its decoder's usual other settings."""
    text = {**DECODERS[sizes.decoder.model_type], **dataclasses.asdict(sizes.decoder)}
    if sizes.decoder.model_type == "gemma2":
        text["query_pre_attn_scalar"] = text["head_dim"]
    speech = dataclasses.asdict(sizes.encoder)
    token = min(SPEECH_TOKEN_INDEX, sizes.decoder.vocab_size - 1)
    return config_json(config, speech, text, token)


def config_json(
    config: ModelConfig, speech: dict[str, Any], text: dict[str, Any], speech_token: int
) -> dict[str, Any]:
    """A config.json in the run's layout, written as the release of that layout writes it.

    Raises ConfigError where the layout has another adapter or another number of mel bins.
    """
    layout = BY_ID[config.layout]
    if layout.id != "open" and config.adapter != layout.adapter:
        raise ConfigError(
            f"The layout {layout.id} has the {layout.adapter} adapter and model.adapter says "
            f"{config.adapter}. Correct model.adapter, or choose the layout open, which takes either."
        )
    if layout.mel_bins and speech["num_mel_bins"] != layout.mel_bins:
        raise ConfigError(
            f"The layout {layout.id} has {layout.mel_bins} mel bins and the encoder reads "
            f"{speech['num_mel_bins']}. Choose another encoder, or the layout open."
        )
    found: dict[str, Any] = {
        "architectures": [layout.architecture],
        "model_type": layout.model_type,
        "speech_config": {**speech, "max_source_positions": WINDOW_STATES, "model_type": "whisper"},
        "text_config": text,
        "speech_mlp_scale_factor": config.stack,
        "speech_token_index": speech_token,
    }
    if layout.id == "open":
        tail = {} if config.tail is None else {"speech_tail": config.tail}
        return found | tail | {"speech_adapter": config.adapter}
    if layout.adapter == "gated":
        found["speech_mlp_use_projection"] = True
    return found | {name: text[name] for name in MIRRORED if name in text}


def _from_parts(config: ModelConfig) -> Built:
    assert config.encoder and config.decoder
    encoder, decoder = load_encoder(config.encoder), load_decoder(config.decoder)
    tokenizer, speech_token = give_speech_token(decoder.model, decoder.tokenizer)
    speech = {key: getattr(encoder.model.config, key) for key in ENCODER_KEYS}
    text = {key: value for key, value in decoder.model.config.to_diff_dict().items() if key not in UNSAID}
    if config.sizes:
        _check_sizes(config.sizes, encoder, decoder)
    content = config_json(config, speech, text, speech_token)
    with torch.device("meta"):
        model = AudioLLMForConditionalGeneration(parsed(content))
    d_model, hidden = speech["d_model"], decoder.model.config.hidden_size
    model.speech_encoder, model.text_decoder = encoder.model, decoder.model
    model.ln_speech = nn.LayerNorm(d_model)
    model.speech_audio_adapter = adapter.build(config.adapter, d_model, config.stack, hidden)
    processor = AudioLLMProcessor(
        encoder.extractor,
        tokenizer,
        chat_template=chat_template_of(model.config, tokenizer),
        window_tokens=model.config.window_tokens,
        tail=model.config.speech_tail,
    )
    source = {"encoder": config.encoder, "decoder": config.decoder}
    return Built(model, processor, content, decoder.stops(tokenizer), source)


def _from_checkpoint(config: ModelConfig) -> Built:
    assert config.checkpoint
    model, processor, content, stops = load_checkpoint(config.checkpoint)
    return Built(model, processor, content, stops, {"checkpoint": config.checkpoint})


def _check_sizes(sizes: Sizes, encoder: Encoder, decoder: Decoder) -> None:
    """Raise ConfigError where a part is not what `model.sizes` promises."""
    for what, keys, said, found in (
        ("encoder", ENCODER_KEYS, sizes.encoder, encoder.model.config),
        ("decoder", DECODER_KEYS, sizes.decoder, decoder.model.config),
    ):
        for key in keys:
            if getattr(said, key) != getattr(found, key):
                raise ConfigError(
                    f"model.sizes.{what}.{key} is {getattr(said, key)} and the {what} has "
                    f"{getattr(found, key)}. Name another {what}, or correct the sizes."
                )


def _load_adapter(model: AudioLLMForConditionalGeneration, config: ModelConfig) -> None:
    """Put a warmed-up adapter, `ln_speech` and tuned layers of the encoder in place.

    Raises ConfigError unless they fit whole.
    """
    assert config.adapter_weights
    tensors = adapter_tensors(config.adapter_weights)
    own = {name: value for name, value in model.state_dict().items() if name in tensors}
    wanted = {name for name in model.state_dict() if name.startswith(("speech_audio_adapter.", "ln_speech."))}
    wanted |= {name for name in own if name.startswith("speech_encoder.")}
    wrong = [name for name in sorted(wanted) if name not in tensors or tensors[name].shape != own[name].shape]
    if wrong or set(tensors) - wanted:
        raise ConfigError(
            f"{config.adapter_weights} does not hold this model's adapter: "
            f"{(wrong or sorted(set(tensors) - wanted))[0]} differs. Warm it up with the same encoder, "
            "decoder, model.adapter and model.stack."
        )
    model.load_state_dict(tensors, strict=False)


def choose_trainable(model: AudioLLMForConditionalGeneration, run: AudioLLMRun) -> None:
    """LoRA into the decoder; encoder (if the run trains it) and adapter whole; nothing else."""
    add_lora(model.text_decoder, run.lora)
    # All of it: transformers freezes Whisper's table of positions, and the paper's count includes it.
    model.speech_encoder.requires_grad_(run.model.train_encoder)
    model.ln_speech.requires_grad_(True)
    model.speech_audio_adapter.requires_grad_(True)
    # A layer that is sometimes skipped has no gradient, and DDP would wait for it.
    model.speech_encoder.layerdrop = 0.0
