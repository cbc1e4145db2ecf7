"""Small checkpoints with random weights in every published layout, for tests and for measuring speed.

    .venv-vllm/bin/python -m model.checkpoints build DIR --layout v2 --preset tiny --shards 3

They are written as the published ones are: the same file names, keys of config.json and names of tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.models.whisper.modeling_whisper import sinusoids

from model.checkpoints import tokenizers
from model.checkpoints.writing import parsed, published, write
from model.geometry import STACK, WINDOW_STATES
from model.layouts import LAYOUTS, SPEECH_TOKEN

BY_ID = {layout.id: layout for layout in LAYOUTS}
MIRRORED = (  # the published files repeat these of text_config on the top level
    "head_dim",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "sliding_window",
)
PROCESSORS = {  # named in the published preprocessor_config.json
    "v1": "MERaLiONProcessor",
    "v2": "MERaLiON2Processor",
    "v3-asr": "MERaLiON3ASRProcessor",
}
GAIN = 1.5  # of random layers over keeping the variance: answers must depend on what is heard
SPREAD = 0.3  # of biases, and of norms' weights around their neutral value
# A token's own embedding against what the layers add to it. Gemma 2's, scaled and tied to the output, is kept
# small and its last norm large, or the model would repeat its last token for ever.
EMBEDDING_SIZE = {"gemma2": 0.5, "llama": 1.0}
LAST_NORM = {"gemma2": 2.0, "llama": 1.0}


@dataclass(frozen=True)
class Preset:
    """Sizes of an encoder and a decoder, under config.json's names."""

    encoder: dict[str, int]
    decoder: dict[str, Any]


PRESETS = {
    "tiny": Preset(
        {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128},
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,  # the smallest that vLLM's CPU attention takes
            "sliding_window": 256,  # less than three windows of audio, so that sliding happens in tests
            "max_position_embeddings": 8_192,
            "vocab_size": 512,
        },
    ),
    # Whisper base's encoder, and a decoder that makes about 110 M together.
    "base-100m": Preset(
        {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2_048},
        {
            "hidden_size": 768,
            "intermediate_size": 3_072,
            "num_hidden_layers": 9,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
            "head_dim": 64,
            "sliding_window": 4_096,
            "max_position_embeddings": 8_192,
            "vocab_size": 512,
        },
    ),
}
DECODERS: dict[str, dict[str, Any]] = {
    "gemma2": {
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "hidden_activation": "gelu_pytorch_tanh",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
    },
    "llama": {
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": False,
    },
}


def build(
    folder: Path,
    layout_id: str = "v2",
    *,
    decoder: str = "gemma2",
    preset: str = "tiny",
    encoder_size: dict[str, int] | None = None,
    decoder_size: dict[str, Any] | None = None,
    mel_bins: int | None = None,
    adapter: str | None = None,
    seed: int = 0,
    dtype: str = "float32",
    shards: int = 1,
    v1_index: int = 3,
    lm_head: bool = False,
) -> Path:
    """Write a checkpoint with random weights and return its folder.

    Args:
        folder: made if it is not there; files of the same name are replaced.
        layout_id: "v1", "v2", "v3-asr" or "open".
        decoder: "gemma2" or "llama".
        preset: "tiny" (0.4 M parameters) or "base-100m".
        encoder_size, decoder_size: keys of speech_config and text_config that differ from the preset's.
        mel_bins: 80 or 128; None: the release's.
        adapter: "mlp" or "gated", for the layout "open", whose config.json says so.
        seed: of the random weights.
        dtype: "float32", "bfloat16" or "float16".
        shards: files that the weights are cut into.
        v1_index: where the last layer of v1's adapter stands in the file, 2 or 3; both were published.
        lm_head: write the output layer although it is the token embedding.

    Raises ValueError for a name that is not known, and for an adapter that the layout does not have.
    """
    _check("layout", layout_id, BY_ID)
    _check("decoder", decoder, DECODERS)
    _check("preset", preset, PRESETS)
    layout, sizes = BY_ID[layout_id], PRESETS[preset]
    if layout.id != "open" and adapter not in (None, layout.adapter):
        raise ValueError(
            f"The layout '{layout.id}' has the {layout.adapter} adapter, as its release has. "
            "Leave the adapter out, or build the layout 'open', which takes either."
        )
    mel = mel_bins or layout.mel_bins or 80
    text = {**DECODERS[decoder], **sizes.decoder, **(decoder_size or {}), "model_type": decoder}
    if decoder == "gemma2":
        text.setdefault("query_pre_attn_scalar", text["head_dim"])
    else:
        text.pop("sliding_window", None)
    template = None if decoder == "gemma2" else tokenizers.CHAT_TEMPLATE
    tokenizer = tokenizers.small(text["vocab_size"], template)
    stops = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")]
    text |= {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    speech = {
        **sizes.encoder,
        **(encoder_size or {}),
        "num_mel_bins": mel,
        "max_source_positions": WINDOW_STATES,
        "model_type": "whisper",
    }
    config: dict[str, Any] = {
        "architectures": [layout.architecture],
        "model_type": layout.model_type,
        **{name: text[name] for name in MIRRORED if name in text},
        "speech_config": speech,
        "text_config": text,
        "speech_mlp_scale_factor": STACK,
        "speech_token_index": tokenizer.convert_tokens_to_ids(SPEECH_TOKEN),
        "torch_dtype": dtype,
    }
    if layout.id == "open":
        config["speech_adapter"] = adapter or layout.adapter
    elif layout.adapter == "gated":
        config["speech_mlp_use_projection"] = True
    model = random_model(config, seed)
    tensors = published(model, getattr(torch, dtype), v1_index, lm_head)
    write(folder, config, tensors, tokenizer, stops, shards, PROCESSORS.get(layout.id))
    return folder


def random_model(config: dict[str, Any], seed: int) -> nn.Module:
    """A model of a config.json whose layers carry what they read onwards, so that answers depend on it."""
    from model.modeling import AudioLLMForConditionalGeneration

    model = AudioLLMForConditionalGeneration(parsed(config))
    decoder = config["text_config"]["model_type"]
    token = EMBEDDING_SIZE[decoder] / model.config.embedding_scale
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name == "speech_encoder.embed_positions.weight":
                value.copy_(sinusoids(*value.shape))  # as Whisper's
                continue
            noise = torch.randn(value.shape, generator=generator)
            if value.dim() == 1:
                value.copy_(_neutral(name, decoder) + SPREAD * noise)
            elif name == "text_decoder.model.embed_tokens.weight":
                value.copy_(token * noise)
            else:
                value.copy_(GAIN * noise / value[0].numel() ** 0.5)
    return model


def _neutral(name: str, decoder: str) -> float:
    """The middle of a bias's or norm's values."""
    if name.endswith("bias"):
        return 0.0
    if name == "text_decoder.model.norm.weight":
        return LAST_NORM[decoder]
    # Gemma's norms multiply by 1 + weight.
    return 0.0 if decoder == "gemma2" and name.startswith("text_decoder.") else 1.0


def _check(what: str, name: str, known: dict[str, Any]) -> None:
    if name not in known:
        raise ValueError(f"There is no {what} '{name}'. Choose one of: {', '.join(known)}.")
