"""Clips to mel windows and places in the prompt, in vLLM's processor (the same mel as `model.processing`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature, WhisperFeatureExtractor
from vllm.config.multimodal import MultiModalDummyOptions
from vllm.exceptions import VLLMValidationError
from vllm.inputs import MultiModalDataDict, MultiModalInput
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import AudioProcessorItems, MultiModalDataItems, MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    ProcessorInputs,
    PromptReplacement,
    PromptUpdate,
    TimingContext,
)
from vllm.renderers import TokenizeParams

from model.configuration import AudioLLMConfig
from model.geometry import MAX_CLIPS, SAMPLE_RATE, WINDOW_SAMPLES, ClipError
from model.layouts import SPEECH_TOKEN
from model.processing import check_mel_bins, checked_clip, mel_windows, speech_token_id


class Info(BaseProcessingInfo):
    """What vLLM asks about the model's inputs."""

    def get_hf_config(self) -> AudioLLMConfig:
        """Its configuration."""
        return self.ctx.get_hf_config(AudioLLMConfig)

    @cached_property
    def feature_extractor(self) -> WhisperFeatureExtractor:
        """Checked against the encoder. Raises ValueError."""
        model = self.ctx.model_config
        extractor = WhisperFeatureExtractor.from_pretrained(model.model, revision=model.revision)
        check_mel_bins(extractor.feature_size, self.get_hf_config().speech_config.num_mel_bins)
        return extractor

    @cached_property
    def speech_token_id(self) -> int:
        """The id of `<SpeechHere>`. Raises ValueError."""
        return speech_token_id(self.get_tokenizer())

    @property
    def max_windows(self) -> int:
        """Windows of the longest clip."""
        return -(-self.get_hf_config().layout.max_seconds * SAMPLE_RATE // WINDOW_SAMPLES)

    def get_default_tok_params(self) -> TokenizeParams:
        """Prompts are rendered with their `<bos>`; a second one makes the model repeat itself."""
        return super().get_default_tok_params().with_kwargs(add_special_tokens=False)

    def get_data_parser(self) -> MultiModalDataParser:
        """Mono at 16 kHz; soxr, since the default resampler's CUDA build cannot be imported on a CPU."""
        return MultiModalDataParser(
            target_sr=SAMPLE_RATE,
            target_channels=1,
            audio_resample_method="soxr",
            expected_hidden_size=self._get_expected_hidden_size(),
        )

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """At most this many clips; `--limit-mm-per-prompt` may lower it."""
        return {"audio": MAX_CLIPS}

    def validate_num_items(self, modality: str, num_items: int) -> None:
        """Raise VLLMValidationError for more clips than a prompt may hold, or for a picture."""
        if modality != "audio":
            raise VLLMValidationError(
                "This model takes audio and text only. Leave the other parts out.", parameter=modality
            )
        allowed = self.allowed_mm_limits["audio"]
        if num_items > allowed:
            raise VLLMValidationError(
                f"More clips were sent than the {allowed} that this server takes in one prompt. "
                "Send fewer at once, or join them.",
                parameter="audio",
            )

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        """Audio tokens of the longest clip: 1,000 for 300 s."""
        return {"audio": self.get_hf_config().tokens_of(self.max_windows * WINDOW_SAMPLES)}

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        """None: nothing about the mel is for a request to change."""
        return {"text_kwargs": set(), "audio_kwargs": set()}


class DummyInputs(BaseDummyInputsBuilder[Info]):
    """The largest input, for vLLM's memory profile."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """One place a clip."""
        return SPEECH_TOKEN * mm_counts.get("audio", 0)

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, MultiModalDummyOptions]
    ) -> MultiModalDataDict:
        """Clips of the longest length that is taken."""
        return {
            "audio": self._get_dummy_audios(
                length=self.info.max_windows * WINDOW_SAMPLES,
                num_audios=mm_counts.get("audio", 0),
                overrides=mm_options.get("audio"),
            )
        }


class Processor(BaseMultiModalProcessor[Info]):
    """Each clip becomes its mel windows [windows, mel_bins, 3000] and its places in the prompt.

    These are windows x 100 in the published models, and fewer where a checkpoint's windows are cut.
    """

    def _call_hf_processor(
        self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        clips: list[Any] = list(hf_data.get("audio", ()))  # type: ignore[call-overload]
        extractor = self.info.feature_extractor
        try:
            checked = [checked_clip(clip, number) for number, clip in enumerate(clips, 1)]
        except ClipError as error:
            raise VLLMValidationError(str(error)) from error
        windows = [mel_windows(extractor, clip) for clip in checked]
        tokens_of = self.info.get_hf_config().tokens_of
        return BatchFeature(
            {
                "input_features": torch.from_numpy(np.concatenate(windows)),
                "windows": torch.tensor([len(mel) for mel in windows]),
                "places": torch.tensor([tokens_of(clip.size) for clip in checked]),
            }
        )

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        windows = hf_inputs.get("windows", torch.zeros(0, dtype=torch.long))
        return {
            "input_features": MultiModalFieldConfig.flat_from_sizes("audio", windows),
            "windows": MultiModalFieldConfig.batched("audio", keep_on_cpu=True),
            "places": MultiModalFieldConfig.batched("audio", keep_on_cpu=True),
        }

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        counts = out_mm_kwargs.get_data().get("places", [])
        place = self.info.speech_token_id

        def places(item: int) -> list[int]:
            return [place] * int(counts[item])

        return [PromptReplacement(modality="audio", target=[place], replacement=places)]

    def apply(self, inputs: ProcessorInputs, timing_ctx: TimingContext) -> MultiModalInput:
        """Refuse what does not fit together, before anything of it is put into a cache.

        vLLM's front end believes that the engine has every clip it has seen. A prompt refused after its clips
        were remembered would make every later prompt with one of them fail.
        """
        items = inputs.mm_data_items
        clips = items.get_items("audio", AudioProcessorItems) if "audio" in items else None
        self._check_places(inputs.prompt, 0 if clips is None else len(clips))
        if clips is not None:
            self._check_length(inputs.prompt, clips)
        return super().apply(inputs, timing_ctx)

    def _check_places(self, prompt: list[int], clips: int) -> None:
        places = prompt.count(self.info.speech_token_id)
        if places != clips:
            raise VLLMValidationError(
                f"The prompt has {places} {SPEECH_TOKEN} and {clips} clips came with it. "
                f"Write one {SPEECH_TOKEN} for each clip, or use /v1/chat/completions, which places them."
            )

    def _check_length(self, prompt: list[int], clips: AudioProcessorItems) -> None:
        config, most = self.info.get_hf_config(), self.info.ctx.model_config.max_model_len
        heard = sum(
            config.tokens_of(clips.get_audio_length(at))
            for at in range(len(clips))
            if clips.get(at) is not None
        )
        tokens = len(prompt) - len(clips) + heard
        if tokens >= most:
            started = "every started" if config.speech_tail is None else "each"
            raise VLLMValidationError(
                f"The prompt takes {tokens:,} tokens, {heard:,} of them for audio ({config.window_tokens} "
                f"for {started} 30 s), and this server reads at most {most:,} with the answer. "
                "Send fewer or shorter clips, or less text."
            )
