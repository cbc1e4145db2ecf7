"""A checkpoint from the packaged weights: Whisper base's encoder and SmolLM2, joined by a new adapter.

    .venv-vllm/bin/python -m model.checkpoints convert DIR

The adapter is untrained, so what it makes of sound means nothing until it is trained; the encoder hears and
the decoder writes as they always did. Both come from `requirements/models.txt`, which `make vllm` installs,
and are checked by `model.embedded.weights`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel

from model.checkpoints.ctranslate2_file import whisper_encoder
from model.checkpoints.writing import parsed, published, write
from model.embedded import weights
from model.geometry import STACK
from model.layouts import BY_MODEL_TYPE, SPEECH_TOKEN, AdapterKind
from model.mini.tokenizer import pre_tokenizer

OPEN = BY_MODEL_TYPE["meralion_audiollm"]
VOCABULARY_STEP = 64  # the vocabulary is made a multiple of it, so that it divides among GPUs
UNSAID = ("_model_name_or_path", "dtype", "transformers_version", "use_cache")  # of how SmolLM2 was loaded
WHISPER_BASE = {
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2_048,
    "num_mel_bins": 80,
}


def convert(
    folder: Path,
    *,
    adapter: AdapterKind = "mlp",
    dtype: str = "float32",
    seed: int = 0,
    cache: Path | None = None,
    decoder: tuple[PreTrainedModel, Any] | None = None,
) -> Path:
    """Write Whisper base's encoder, a new adapter and SmolLM2-135M-Instruct as one folder, and return it.

    Args:
        folder: made if it is not there.
        adapter: "mlp" or "gated".
        dtype: "float32" keeps the packaged weights as they are; "bfloat16" halves the file.
        seed: of the adapter's weights.
        cache: where Whisper's parts are joined; None: the demo's cache folder.
        decoder: another causal LM and its tokenizer, both changed here; None: SmolLM2.

    Raises WeightsError where a package is missing or damaged.
    """
    from model.modeling import AudioLLMForConditionalGeneration

    encoder = whisper_encoder(
        weights.assemble(weights.WHISPER_MODEL, (cache or weights.default_cache()) / "whisper-base")
    )
    language_model, tokenizer = decoder or smollm2()
    speech_token = add_speech_token(language_model, tokenizer)
    config: dict[str, Any] = {
        "architectures": [OPEN.architecture],
        "model_type": OPEN.model_type,
        "speech_config": {**WHISPER_BASE, "model_type": "whisper"},
        "text_config": {
            name: value for name, value in language_model.config.to_diff_dict().items() if name not in UNSAID
        },
        "speech_adapter": adapter,
        "speech_mlp_scale_factor": STACK,
        "speech_token_index": speech_token,
        "dtype": dtype,
    }
    torch.manual_seed(seed)
    model = AudioLLMForConditionalGeneration(parsed(config))
    model.speech_encoder.load_state_dict(
        {name: torch.tensor(value).float() for name, value in encoder.items()}
    )
    model.text_decoder.load_state_dict(language_model.state_dict())
    tensors: dict[str, Tensor] = published(model, getattr(torch, dtype))
    write(folder, config, tensors, tokenizer, [tokenizer.eos_token_id])
    return folder


def smollm2() -> tuple[PreTrainedModel, Any]:
    """SmolLM2-135M-Instruct and its tokenizer, the packaged Q4_1 made dense."""
    path = weights.text_model()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # transformers takes that of every such file for GPT-2's.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizer()
    decoder = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    return decoder, tokenizer


def add_speech_token(decoder: PreTrainedModel, tokenizer: Any) -> int:
    """Give tokenizer and embedding a `<SpeechHere>`; its id. New rows are the mean of the others."""
    tokenizer.add_tokens([SPEECH_TOKEN], special_tokens=True)
    before = decoder.config.vocab_size
    decoder.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=VOCABULARY_STEP, mean_resizing=False)
    with torch.no_grad():
        for layer in {decoder.get_input_embeddings(), decoder.get_output_embeddings()}:
            layer.weight[before:] = layer.weight[:before].mean(0)
    found: int = tokenizer.convert_tokens_to_ids(SPEECH_TOKEN)
    return found
