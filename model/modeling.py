"""The audio LLM in transformers: encoder -> LayerNorm -> adapter -> decoder (paper, section 3, figure 2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from model import adapter, audio_encoder, decoder
from model.adapter import PUBLISHED_NAMES
from model.checkpoints.inspect import CheckpointError, inspect
from model.configuration import AudioLLMConfig, Meralion2Config, Meralion3AsrConfig, MeralionConfig
from model.geometry import ENCODER_STRIDE, WINDOW_STATES

PER_WINDOW = ("input_features", "window_states")  # arguments that have a row for each window of sound
_HUB_ARGUMENTS = ("cache_dir", "revision", "token", "local_files_only")


class AudioLLMForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """Reads text with `<SpeechHere>` places and the mel windows that fill them; writes text.

    Speech embeddings replace the token embeddings at `speech_token_index`, both scaled as the decoder does.
    """

    config_class = AudioLLMConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ("audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar = ["WhisperEncoderLayer", "Gemma2DecoderLayer", "LlamaDecoderLayer"]
    _skip_keys_device_placement: ClassVar = ["past_key_values"]

    def __init__(self, config: AudioLLMConfig) -> None:
        super().__init__(config)
        speech, text = config.speech_config, config.text_config
        self.speech_encoder, self.ln_speech = audio_encoder.build(speech)
        self.speech_audio_adapter = adapter.build(
            config.adapter_kind, speech.d_model, config.speech_mlp_scale_factor, text.hidden_size
        )
        self.text_decoder = decoder.build(text)
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any) -> Self:
        """Load a checkpoint in any published layout, shard by shard.

        Raises CheckpointError naming each thing that is wrong with a local folder.
        """
        folder = Path(pretrained_model_name_or_path)
        if folder.is_dir():
            report = inspect(folder)
            if report.problems:
                raise CheckpointError(folder, report.problems)
        kwargs.setdefault("key_mapping", PUBLISHED_NAMES)
        if "config" not in kwargs:
            # By its model_type: this one class loads every release.
            hub = {name: kwargs[name] for name in _HUB_ARGUMENTS if name in kwargs}
            kwargs["config"] = AutoConfig.from_pretrained(pretrained_model_name_or_path, **hub)
        loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model = loaded[0] if kwargs.get("output_loading_info") else loaded
        embedding = model.get_input_embeddings()
        decoder.check_embedding_scale(embedding, embedding.weight, model.config.embedding_scale)
        answer: Self = loaded
        return answer

    def get_input_embeddings(self) -> nn.Module:
        """The decoder's token embeddings."""
        return self.text_decoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's token embeddings."""
        self.text_decoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The decoder's output layer."""
        return self.text_decoder.get_output_embeddings()

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the decoder's output layer."""
        self.text_decoder.set_output_embeddings(value)

    def speech_embeddings(self, input_features: Tensor) -> Tensor:
        """Mel windows [windows, mel_bins, 3000] to embeddings [windows, window_tokens, hidden], scaled."""
        states = self.ln_speech(self.speech_encoder.encode(input_features.to(self.ln_speech.weight.dtype)))
        scale = torch.tensor(self.config.embedding_scale, dtype=states.dtype, device=states.device)
        return self.speech_audio_adapter(states) * scale

    def heard_embeddings(self, input_features: Tensor, window_states: Tensor | None = None) -> Tensor:
        """The same of all windows in a row [places, hidden], of each the first `window_states` [windows]."""
        if window_states is None:
            return self.speech_embeddings(input_features).flatten(0, 1)
        found = []
        windows = input_features.to(self.ln_speech.weight.dtype)
        for window, states in zip(windows, window_states.tolist(), strict=True):
            heard = self.speech_encoder.hear(window[None, :, : states * ENCODER_STRIDE])
            found.append(self.speech_audio_adapter(self.ln_speech(heard))[0])
        speech = torch.cat(found)
        return speech * torch.tensor(self.config.embedding_scale, dtype=speech.dtype, device=speech.device)

    def input_embeddings(
        self, input_ids: Tensor, input_features: Tensor | None, window_states: Tensor | None = None
    ) -> Tensor:
        """Embeddings [batch, tokens, hidden] of text with its speech put in, windows in reading order.

        Raises ValueError unless there are exactly as many places as the windows fill.
        """
        embeddings = self.get_input_embeddings()(input_ids)
        if input_features is None:
            return embeddings
        places = input_ids == self.config.speech_token_index
        windows, stack = len(input_features), self.config.speech_mlp_scale_factor
        states = windows * WINDOW_STATES if window_states is None else int(window_states.sum())
        wanted, given = states // stack, int(places.sum())
        if wanted != given:  # said before the sound is encoded, which costs a second a window on a CPU
            raise ValueError(
                f"The prompt has {given} audio places and the audio fills {wanted}. "
                "Make both with AudioLLMProcessor, one <SpeechHere> for each clip."
            )
        speech = self.heard_embeddings(input_features, window_states)
        return embeddings.masked_scatter(places.unsqueeze(-1), speech.to(embeddings.dtype))

    def forward(
        self,
        input_ids: Tensor | None = None,
        input_features: Tensor | None = None,
        window_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Score text [batch, tokens]; `input_features` [windows, mel_bins, 3000] of all rows in their order.

        `window_states` [windows]: how many states of each window are heard, where that is not all of them.
        With `labels` [batch, tokens] (-100: not scored) the loss is the mean of equation 1 over those scored.
        """
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.input_embeddings(input_ids, input_features, window_states)
        return self.text_decoder(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Any = None, **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Repeat rows for beams; a row's windows stay together, which transformers cannot know."""
        about = {name: kwargs.pop(name) for name in PER_WINDOW if kwargs.get(name) is not None}
        if about and expand_size > 1:
            windows = len(about["input_features"])
            states = about.get("window_states", torch.full((windows,), WINDOW_STATES))
            ends = (states // self.config.speech_mlp_scale_factor).cumsum(0)
            places = (input_ids == self.config.speech_token_index).sum(1).cumsum(0).to(ends.device)
            per_row = torch.searchsorted(ends, places, right=True).diff(prepend=ends.new_zeros(1)).tolist()
            for name, value in about.items():
                about[name] = torch.cat([row for row in value.split(per_row) for _ in range(expand_size)])
        input_ids, kwargs = super()._expand_inputs_for_generation(
            expand_size, is_encoder_decoder, input_ids, **kwargs
        )
        return input_ids, kwargs | about


class MeralionForConditionalGeneration(AudioLLMForConditionalGeneration):
    """MERaLiON-AudioLLM, the paper's release."""

    config_class = MeralionConfig


class Meralion2ForConditionalGeneration(AudioLLMForConditionalGeneration):
    """MERaLiON-2."""

    config_class = Meralion2Config


class Meralion3AsrForConditionalGeneration(AudioLLMForConditionalGeneration):
    """MERaLiON-3-ASR."""

    config_class = Meralion3AsrConfig


# transformers' Auto classes want one class for each configuration.
for _model in (
    AudioLLMForConditionalGeneration,
    MeralionForConditionalGeneration,
    Meralion2ForConditionalGeneration,
    Meralion3AsrForConditionalGeneration,
):
    AutoConfig.register(_model.config_class.model_type, _model.config_class, exist_ok=True)
    AutoModel.register(_model.config_class, _model, exist_ok=True)
    AutoModelForCausalLM.register(_model.config_class, _model, exist_ok=True)
