"""Which tensors a configuration promises, and their shapes: the published names, part by part.

Configurations leave out what equals transformers' defaults, so these are written down here; the point is
to say what is wrong with a folder without importing torch.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any

from model.geometry import STACK, WINDOW_STATES
from model.layouts import SPEECH_TOKEN_INDEX, AdapterKind

Shapes = dict[str, tuple[int, ...]]

LARGEST_SIZE, MOST_LAYERS = 10_000_000, 1_000  # in a config.json; more is damage, and would cost memory here

WHISPER_DEFAULTS: dict[str, Any] = {
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1_536,
    "num_mel_bins": 80,
    "max_source_positions": WINDOW_STATES,
}
DECODER_DEFAULTS: dict[str, dict[str, Any]] = {
    "gemma2": {
        "vocab_size": 256_000,
        "hidden_size": 2_304,
        "intermediate_size": 9_216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 8_192,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "attn_logit_softcapping": 50.0,
    },
    "llama": {
        "vocab_size": 32_000,
        "hidden_size": 4_096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,  # as many as heads
        "head_dim": None,  # hidden_size / num_attention_heads
        "max_position_embeddings": 2_048,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "attn_logit_softcapping": None,
    },
}
DECODER_NORMS = {
    "gemma2": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
    "llama": ("input_layernorm", "post_attention_layernorm"),
}
TOP_DEFAULTS: dict[str, Any] = {
    "speech_mlp_scale_factor": STACK,
    "speech_token_index": SPEECH_TOKEN_INDEX,
}


class Sizes:
    """The numbers of a config.json, with defaults; what cannot be a size becomes a sentence in `problems`."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.problems: list[str] = []
        named = _section(config, "text_config").get("model_type")
        said = named if isinstance(named, str) else ""
        # Releases may call it by a name of their own; every one is built on Gemma 2.
        self.decoder = "gemma2" if not said or said.startswith("meralion") else said
        defaults = DECODER_DEFAULTS.get(self.decoder, {})
        self.encoder = self._numbers(config, "speech_config", WHISPER_DEFAULTS)
        self.text = self._numbers(config, "text_config", defaults)
        top = TOP_DEFAULTS | {name: config[name] for name in TOP_DEFAULTS if config.get(name) is not None}
        self.stack = self._whole("speech_mlp_scale_factor", top["speech_mlp_scale_factor"]) or STACK
        self.speech_token_index = self._whole("speech_token_index", top["speech_token_index"], least=0)
        if WINDOW_STATES % self.stack:
            self.problems.append(
                f"speech_mlp_scale_factor is {self.stack} in config.json; it must divide {WINDOW_STATES:,} "
                "evenly, as 15 does. Correct it."
            )

    @property
    def heads(self) -> tuple[int, int, int]:
        """Query heads, key-value heads and the width of one; 0 where the configuration does not say."""
        heads = int(self.text.get("num_attention_heads") or 0)
        kv = int(self.text.get("num_key_value_heads") or heads)
        width = self.text.get("head_dim") or (self.text.get("hidden_size") or 0) // max(heads, 1)
        return heads, kv, int(width)

    @property
    def tied(self) -> bool:
        """Whether the output layer is the token embedding."""
        return bool(self.text.get("tie_word_embeddings", True))

    def _numbers(self, config: dict[str, Any], section: str, defaults: dict[str, Any]) -> dict[str, Any]:
        """A section with its defaults; a size that is null counts as one that is not there."""
        values = {**defaults, **_section(config, section)}
        for name, default in WHISPER_DEFAULTS.items() if section == "speech_config" else SIZE_NAMES:
            if values.get(name) is not None:
                values[name] = self._whole(f"{section}.{name}", values[name]) or default
            elif defaults.get(name) is not None:
                values[name] = defaults[name]
            else:
                values.pop(name, None)
        return values

    def _whole(self, name: str, value: Any, least: int = 1) -> int | None:
        most = MOST_LAYERS if name.endswith("_layers") else LARGEST_SIZE
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.problems.append(
                f"{name} is {reprlib.repr(value)} in config.json; a whole number from {least} to {most:,} "
                "belongs there. Correct it."
            )
            return None
        return value


SIZE_NAMES = tuple(
    (name, None)
    for name in (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
    )
)


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def encoder(sizes: Sizes) -> Shapes:
    """Whisper's encoder and the LayerNorm behind it."""
    d, ffn, mel = (sizes.encoder[name] for name in ("d_model", "encoder_ffn_dim", "num_mel_bins"))
    shapes: Shapes = {
        "speech_encoder.conv1.weight": (d, mel, 3),
        "speech_encoder.conv1.bias": (d,),
        "speech_encoder.conv2.weight": (d, d, 3),
        "speech_encoder.conv2.bias": (d,),
        "speech_encoder.embed_positions.weight": (sizes.encoder["max_source_positions"], d),
    }
    for layer in range(sizes.encoder["encoder_layers"]):
        at = f"speech_encoder.layers.{layer}"
        shapes |= _linear(f"{at}.self_attn.k_proj", d, d, bias=False)
        for name in ("q_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{at}.self_attn.{name}", d, d)
        shapes |= _linear(f"{at}.fc1", ffn, d) | _linear(f"{at}.fc2", d, ffn)
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{at}.{name}.weight": (d,), f"{at}.{name}.bias": (d,)}
    for name in ("speech_encoder.layer_norm", "ln_speech"):
        shapes |= {f"{name}.weight": (d,), f"{name}.bias": (d,)}
    return shapes


def adapter(sizes: Sizes, kind: AdapterKind, last: int) -> Shapes:
    """The adapter's weights; `last` is the index of v1's last layer, 2 or 3. Biases may be left out."""
    d, hidden, at = sizes.encoder["d_model"], sizes.text.get("hidden_size"), "speech_audio_adapter"
    width = 5 * d if kind == "gated" else d
    shapes: Shapes = {f"{at}.mlp_adapter.0.weight": (width, sizes.stack * d)}
    if kind == "gated":
        shapes |= {f"{at}.gate_proj.weight": (width, width), f"{at}.pool_proj.weight": (width, width)}
    else:
        shapes |= {f"{at}.speech_llm_proj.0.weight": (4 * d, d)}
    if hidden is not None:
        name, inside = ("out_proj", width) if kind == "gated" else (f"speech_llm_proj.{last}", 4 * d)
        shapes |= {f"{at}.{name}.weight": (hidden, inside)}
    return shapes


def adapter_biases(weights: Shapes) -> Shapes:
    """The biases that may stand beside an adapter's weights."""
    return {name.removesuffix("weight") + "bias": shape[:1] for name, shape in weights.items()}


def decoder(sizes: Sizes) -> Shapes:
    """The decoder's tensors; of a decoder that is not in the table, only the embedding."""
    text, at = sizes.text, "text_decoder.model"
    vocabulary, hidden = text.get("vocab_size"), text.get("hidden_size")
    if vocabulary is None or hidden is None:
        return {}
    shapes: Shapes = {f"{at}.embed_tokens.weight": (vocabulary, hidden)}
    if not sizes.tied:
        shapes["text_decoder.lm_head.weight"] = (vocabulary, hidden)
    if sizes.decoder in DECODER_NORMS:
        shapes[f"{at}.norm.weight"] = (hidden,)
        for layer in range(text["num_hidden_layers"]):
            shapes |= dict(_decoder_layer(sizes, f"{at}.layers.{layer}"))
    return shapes


def _decoder_layer(sizes: Sizes, at: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, ffn = sizes.text["hidden_size"], sizes.text["intermediate_size"]
    heads, kv, width = sizes.heads
    bias, mlp_bias = bool(sizes.text.get("attention_bias")), bool(sizes.text.get("mlp_bias"))
    for name, out in (("q_proj", heads * width), ("k_proj", kv * width), ("v_proj", kv * width)):
        yield from _linear(f"{at}.self_attn.{name}", out, hidden, bias=bias).items()
    yield from _linear(f"{at}.self_attn.o_proj", hidden, heads * width, bias=bias).items()
    for name in ("gate_proj", "up_proj"):
        yield from _linear(f"{at}.mlp.{name}", ffn, hidden, bias=mlp_bias).items()
    yield from _linear(f"{at}.mlp.down_proj", hidden, ffn, bias=mlp_bias).items()
    for name in DECODER_NORMS[sizes.decoder]:
        yield f"{at}.{name}.weight", (hidden,)


def _linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (out, into)}
    return shapes | {f"{name}.bias": (out,)} if bias else shapes
