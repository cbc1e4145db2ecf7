"""The audio LLM in vLLM: the same parts as `model.modeling`, with vLLM's encoder layers and decoder.

The names of parameters are the published ones, so that LoRA targets and tensor-parallel shards read alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from vllm.config import ModelConfig, SpeechToTextConfig, VllmConfig
from vllm.config.speech_to_text import SpeechToTextParams
from vllm.inputs import PromptType, TextPrompt
from vllm.model_executor.models.interfaces import (
    MultiModalEmbeddings,
    SupportsLoRA,
    SupportsMultiModal,
    SupportsPP,
    SupportsTranscription,
)
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    WeightsMapper,
    init_vllm_registered_model,
    maybe_prefix,
)
from vllm.model_executor.models.whisper import WhisperEncoder, _create_fake_bias_for_k_proj
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.sequence import IntermediateTensors
from vllm.tokenizers import cached_tokenizer_from_config

from model import adapter, prompts
from model.audio_encoder import WINDOWS_AT_ONCE
from model.configuration import AudioLLMConfig
from model.geometry import ENCODER_STRIDE, SAMPLE_RATE, WINDOW_FRAMES, WINDOW_SECONDS
from model.layouts import SPEECH_TOKEN
from model.processing import chat_template_of
from model.vllm_plugin import soft_cap
from model.vllm_plugin.processing import DummyInputs, Info, Processor

LANGUAGES = {
    "en": "English",
    "zh": "Chinese",
    "ms": "Malay",
    "ta": "Tamil",
    "id": "Indonesian",
    "th": "Thai",
    "vi": "Vietnamese",
}
"""What the released models were trained on, by ISO 639-1 code."""


class AudioEncoder(WhisperEncoder):
    """Whisper's encoder in vLLM's layers: fused QKV, tensor parallel, the platform's fastest attention."""

    mapper = WeightsMapper(
        orig_to_new_substr={".fc1.": ".mlp.fc1.", ".fc2.": ".mlp.fc2."},
        orig_to_new_stacked={
            ".self_attn.q_proj": (".self_attn.qkv_proj", "q"),
            ".self_attn.k_proj": (".self_attn.qkv_proj", "k"),
            ".self_attn.v_proj": (".self_attn.qkv_proj", "v"),
        },
    )

    def encode(self, windows: Tensor) -> Tensor:
        """Mel windows [windows, mel_bins, 3000] to states [windows, 1500, d_model], some at once."""
        return torch.cat([self([part]) for part in windows.split(WINDOWS_AT_ONCE)])

    def heard(self, windows: Tensor, frames: int) -> list[Tensor]:
        """A clip's mel windows [windows, mel_bins, 3000], of which `frames` are heard, to states of each."""
        parts = [windows[at, :, : frames - at * WINDOW_FRAMES] for at in range(len(windows))]
        return [self([part[None]]) for part in parts]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load Whisper's tensors; its keys have no bias, and the fused layer's is zero there."""
        filled = _create_fake_bias_for_k_proj(weights, ".self_attn.k_proj.weight")
        return AutoWeightsLoader(self).load_weights(filled, mapper=self.mapper)


@MULTIMODAL_REGISTRY.register_processor(Processor, info=Info, dummy_inputs=DummyInputs)
class AudioLLMForConditionalGeneration(
    nn.Module, SupportsMultiModal, SupportsPP, SupportsLoRA, SupportsTranscription
):
    """Encoder -> LayerNorm -> adapter -> any decoder that vLLM knows."""

    supported_languages = LANGUAGES
    packed_modules_mapping: ClassVar = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_substr={".speech_llm_proj.2.": ".speech_llm_proj.3."},  # v1 without its dropout
    )

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: AudioLLMConfig = vllm_config.model_config.hf_config
        speech, text = config.speech_config, config.text_config
        self.config = config
        with self._mark_tower_model(vllm_config, "audio"):
            encoder_config = vllm_config.with_hf_config(speech, architectures=[""])
            # A quantised checkpoint, or `--quantization`, means the decoder: nine tenths of the weights are
            # there, and what the encoder hears should not be rounded.
            encoder_config.quant_config = None
            self.speech_encoder = AudioEncoder(
                vllm_config=encoder_config,
                prefix=maybe_prefix(prefix, "speech_encoder"),
                enable_pp=False,
            )
            self.ln_speech = nn.LayerNorm(speech.d_model)
            self.speech_audio_adapter = adapter.build(
                config.adapter_kind, speech.d_model, config.speech_mlp_scale_factor, text.hidden_size
            )
        with self._mark_language_model(vllm_config):
            self.text_decoder = init_vllm_registered_model(
                vllm_config=vllm_config, hf_config=text, prefix=maybe_prefix(prefix, "text_decoder")
            )
        self.make_empty_intermediate_tensors = self.text_decoder.make_empty_intermediate_tensors
        soft_cap.check(self.text_decoder, getattr(text, "attn_logit_softcapping", None))

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """What stands for a clip in a prompt."""
        if modality.startswith("audio"):
            return SPEECH_TOKEN
        raise ValueError("This model takes audio and text only. Send the clip as an input_audio part.")

    def get_mm_mapping(self) -> MultiModelKeys:
        """Which parameters are whose, for LoRA."""
        return MultiModelKeys.from_string_field(
            language_model="text_decoder.",
            connector=["ln_speech.", "speech_audio_adapter."],
            tower_model="speech_encoder.",
        )

    def embed_multimodal(self, **kwargs: object) -> MultiModalEmbeddings:
        """Mel windows of all clips in the batch to one [places, hidden] tensor a clip."""
        features = kwargs.get("input_features")
        if features is None:
            return []
        windows, places = kwargs["windows"], kwargs["places"]
        assert isinstance(features, Tensor) and isinstance(windows, Tensor) and isinstance(places, Tensor)
        features = features.to(self.ln_speech.weight.dtype)
        if self.config.speech_tail is None:
            found = self._embedded(self.speech_encoder.encode(features))
            return [clip.flatten(0, 1) for clip in found.split(windows.flatten().tolist())]
        return [
            torch.cat([self._embedded(states)[0] for states in self.speech_encoder.heard(clip, frames)])
            for clip, frames in zip(
                features.split(windows.flatten().tolist()),
                (places.flatten() * self.config.speech_mlp_scale_factor * ENCODER_STRIDE).tolist(),
                strict=True,
            )
        ]

    def _embedded(self, states: Tensor) -> Tensor:
        """Encoder states [windows, states, d_model] to embeddings [windows, states / stack, hidden]."""
        # vLLM scales token embeddings where it looks them up, and leaves ready-made ones as they are.
        scale = torch.tensor(self.config.embedding_scale, dtype=states.dtype, device=states.device)
        return self.speech_audio_adapter(self.ln_speech(states)) * scale

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor | IntermediateTensors:
        """The decoder's hidden states [tokens, hidden]."""
        if intermediate_tensors is not None:
            inputs_embeds = None
        return self.text_decoder.model(
            input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds
        )

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Logits [tokens, vocabulary]."""
        return self.text_decoder.compute_logits(hidden_states)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load a published checkpoint as its shards are read."""
        loader = AutoWeightsLoader(self)
        mapper = self.hf_to_vllm_mapper
        if self.config.text_config.tie_word_embeddings:
            mapper = mapper | WeightsMapper(orig_to_new_prefix={"text_decoder.lm_head.": None})
        loaded = loader.load_weights(weights, mapper=mapper)
        # Zero since they were made: a checkpoint without them means none, and vLLM need not miss them.
        biases = (name for name, _ in self.speech_audio_adapter.named_parameters() if name.endswith(".bias"))
        return loaded | {f"speech_audio_adapter.{name}" for name in biases}

    @classmethod
    def get_speech_to_text_config(
        cls, model_config: ModelConfig, task_type: Literal["transcribe", "translate"]
    ) -> SpeechToTextConfig:
        """vLLM's own transcription route cuts at quiet points into windows of 30 s."""
        return SpeechToTextConfig(sample_rate=SAMPLE_RATE, max_audio_clip_s=WINDOW_SECONDS)

    @classmethod
    def get_num_audio_tokens(
        cls, audio_duration_s: float, stt_config: SpeechToTextConfig, model_config: ModelConfig
    ) -> int | None:
        """How many tokens a clip takes, for accounting."""
        return model_config.hf_config.tokens_of(round(audio_duration_s * SAMPLE_RATE))

    @classmethod
    def get_generation_prompt(cls, stt_params: SpeechToTextParams) -> PromptType:
        """The prompt of vLLM's own transcription route."""
        model_config = stt_params.model_config
        if stt_params.task_type == "translate":
            query = prompts.TRANSLATE.format(
                language=LANGUAGES.get(stt_params.to_language or "en", "English")
            )
        else:
            query = prompts.TRANSCRIBE
        return TextPrompt(
            prompt=_rendered(model_config, query),
            multi_modal_data={"audio": (stt_params.audio, stt_params.stt_config.sample_rate)},
        )


def _rendered(model_config: ModelConfig, query: str) -> str:
    """One user turn about one clip, as the decoder reads it."""
    tokenizer = cached_tokenizer_from_config(model_config)
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": query}]}
    ]
    rendered = tokenizer.apply_chat_template(
        messages,
        chat_template=chat_template_of(model_config.hf_config, tokenizer),
        tokenize=False,
        add_generation_prompt=True,
    )
    return str(rendered)
