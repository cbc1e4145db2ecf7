"""A run's model is put together from its parts, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from model.checkpoints import tokenizers
from model.layouts import SPEECH_TOKEN
from tests.training import tiny
from training import config as configs
from training.audiollm_config import AudioLLMRun
from training.build_model import Built, build
from training.errors import ConfigError
from training.parameters import counts
from training.speech_token import give_speech_token, renamed


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a whole small Whisper and of a small Llama, as stage 1 and a hub leave them."""
    folder = tmp_path_factory.mktemp("parts")
    whisper, llama = folder / "whisper", folder / "llama"
    torch.manual_seed(0)
    sizes = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128}
    sizes |= {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": 128}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    WhisperForConditionalGeneration(WhisperConfig(**sizes, **ids)).save_pretrained(whisper)
    WhisperFeatureExtractor().save_pretrained(whisper)
    tokenizer = tokenizers.small(512, tokenizers.CHAT_TEMPLATE)
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(**text, vocab_size=512, pad_token_id=0, eos_token_id=1, bos_token_id=2)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(llama)
    tokenizer.save_pretrained(llama)
    return whisper, llama


def made(parts: tuple[Path, Path], precision: str = "fp32", **model: Any) -> Built:
    named = {"checkpoint": None, "encoder": str(parts[0]), "decoder": str(parts[1]), **model}
    values = tiny.settings(Path("run"), Path(), Path(), model=named, compute={"precision": precision})
    return build(configs.parse(AudioLLMRun, values, "test"))


def test_the_encoder_is_the_whispers_own_and_the_decoder_the_language_models(
    parts: tuple[Path, Path],
) -> None:
    built = made(parts, precision="bf16")
    whisper = WhisperForConditionalGeneration.from_pretrained(parts[0]).model.encoder
    llama = LlamaForCausalLM.from_pretrained(parts[1], dtype="auto")
    for name, value in whisper.state_dict().items():
        assert torch.equal(built.model.speech_encoder.state_dict()[name], value), name
    own = {
        name.replace(".base_layer", ""): value
        for name, value in built.model.text_decoder.state_dict().items()
    }
    for name, value in llama.state_dict().items():
        assert torch.equal(own[name], value), name
    assert built.model.config.text_config.vocab_size == 512  # the token was there: nothing was added
    assert built.source == {"encoder": str(parts[0]), "decoder": str(parts[1])}
    assert built.model.speech_encoder.layerdrop == 0


def test_a_stack_of_five_gives_300_tokens(parts: tuple[Path, Path]) -> None:
    built = made(parts, stack=5)
    assert built.processor.tokens_of(16_000) == 300
    assert built.model.speech_embeddings(torch.zeros(1, 80, 3_000)).shape == (1, 300, 64)


def test_a_gated_adapter_is_built_and_counted(parts: tuple[Path, Path]) -> None:
    mlp, gated = (counts(made(parts, adapter=kind).model)["trainable"] for kind in ("mlp", "gated"))
    assert gated["adapter"] > mlp["adapter"] and gated["encoder"] == mlp["encoder"]


def test_a_warmed_up_adapter_takes_its_place_or_is_refused(parts: tuple[Path, Path], tmp_path: Path) -> None:
    state = made(parts).model.state_dict()
    warm = {
        name: torch.full_like(value, 0.5)
        for name, value in state.items()
        if name.startswith(("speech_audio_adapter.", "ln_speech."))
    }
    path = tmp_path / "adapter.safetensors"
    save_file(warm, path)
    built = made(parts, adapter_weights=str(path))
    assert all((built.model.state_dict()[name] == 0.5).all() for name in warm)
    with pytest.raises(ConfigError, match=r"does not hold this model's adapter.*model\.stack"):
        made(parts, adapter_weights=str(path), stack=5)
    warm.pop("ln_speech.bias")
    save_file(warm, path)
    with pytest.raises(ConfigError, match=r"ln_speech\.bias differs"):
        made(parts, adapter_weights=str(path))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"encoder": "nowhere"}, r"model\.encoder: nowhere cannot be loaded"),
        ({"decoder": "nowhere"}, r"model\.decoder: nowhere cannot be loaded"),
        ({"layout": "v2"}, "has the gated adapter and model.adapter says mlp"),
        ({"layout": "v2", "adapter": "gated"}, "has 128 mel bins and the encoder reads 80"),
    ],
)
def test_what_does_not_fit_is_named(parts: tuple[Path, Path], model: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(parts, **model)


def test_sizes_that_the_parts_do_not_have_are_named(parts: tuple[Path, Path]) -> None:
    encoder = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128}
    decoder = {"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128}
    decoder |= {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}
    with pytest.raises(ConfigError, match=r"sizes\.decoder\.num_hidden_layers is 3 and the decoder has 2"):
        made(parts, sizes={"encoder": {**encoder, "num_mel_bins": 80}, "decoder": decoder})


def test_a_spare_token_is_renamed_so_that_the_vocabulary_keeps_its_size(parts: tuple[Path, Path]) -> None:
    tokenizer = tokenizers.small(512)
    spare = "<unused3>"
    place = tokenizer.convert_tokens_to_ids(spare)
    size = len(tokenizer)
    tokenizer = renamed(_without_speech(tokenizer), spare)
    assert tokenizer.convert_tokens_to_ids(SPEECH_TOKEN) == place and len(tokenizer) == size
    assert tokenizer(f"a{SPEECH_TOKEN}b", add_special_tokens=False)["input_ids"].count(place) == 1


def test_a_tokenizer_without_a_spare_token_grows_with_its_decoder(parts: tuple[Path, Path]) -> None:
    llama = LlamaForCausalLM.from_pretrained(parts[1])
    tokenizer = _without_speech(tokenizers.small(512))
    tokenizer, found = give_speech_token(llama, tokenizer)
    assert found == 512 and llama.get_input_embeddings().weight.shape[0] == 576


def _without_speech(tokenizer: Any) -> Any:
    """The same tokenizer with `<SpeechHere>` called something else."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    text = tokenizer.backend_tokenizer.to_str().replace(SPEECH_TOKEN, "<other>")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text), pad_token="<pad>", eos_token="<eos>", bos_token="<bos>"
    )
