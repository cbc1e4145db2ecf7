"""Clips and text to what the model reads: 30 s windows, log-mel, and as many places in the text.

The windows of a clip do not overlap; the last is padded. Each is normalised over its own samples before the
mel filters, as the published models were trained (leaving it out shifts log-probs by more than 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoProcessor,
    AutoTokenizer,
    BatchFeature,
    ProcessorMixin,
    WhisperFeatureExtractor,
)

from model import geometry
from model.configuration import AudioLLMConfig, Meralion2Config, Meralion3AsrConfig, MeralionConfig
from model.geometry import SAMPLE_RATE, WINDOW_SAMPLES, ClipError
from model.layouts import SPEECH_TOKEN
from model.prompts import chat_template

Clip = NDArray[np.float32]  # (samples,), mono, 16 kHz


class AudioLLMProcessor(ProcessorMixin):
    """A WhisperFeatureExtractor and a tokenizer that knows `<SpeechHere>`."""

    attributes: ClassVar = ["feature_extractor", "tokenizer"]
    feature_extractor_class = "WhisperFeatureExtractor"
    tokenizer_class = "AutoTokenizer"

    def __init__(
        self,
        feature_extractor: WhisperFeatureExtractor,
        tokenizer: Any,
        chat_template: str | None = None,
        window_tokens: int = geometry.WINDOW_TOKENS,
        tail: int | None = None,
        **kwargs: Any,
    ) -> None:
        """`window_tokens`, `tail`: the configuration's `window_tokens` and `speech_tail`."""
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template)
        self.speech_token_id = speech_token_id(tokenizer)
        self.stack, self.tail = geometry.WINDOW_STATES // window_tokens, tail

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load from a checkpoint in any published layout; its own processor code is never run."""
        source = str(pretrained_model_name_or_path)
        config = AutoConfig.from_pretrained(source, **kwargs)
        if not isinstance(config, AudioLLMConfig):
            raise ValueError(
                f"{source} holds a '{config.model_type}' model, not an audio LLM of this family."
            )
        extractor = WhisperFeatureExtractor.from_pretrained(source, **kwargs)
        check_mel_bins(extractor.feature_size, config.speech_config.num_mel_bins)
        tokenizer = AutoTokenizer.from_pretrained(source, **kwargs)
        template = chat_template_of(config, tokenizer)
        tokens, tail = config.window_tokens, config.speech_tail
        return cls(extractor, tokenizer, chat_template=template, window_tokens=tokens, tail=tail)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write the files that every release has: the extractor's, and the tokenizer's with its own template.

        The turn around that template comes from the configuration again, so it is not saved.
        """
        self.feature_extractor.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    def __call__(
        self,
        text: str | Sequence[str],
        audio: Sequence[Clip] | Clip | None = None,
        sampling_rate: int = SAMPLE_RATE,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prompts as `input_ids`, `attention_mask` [batch, tokens], `input_features` [windows, mel, 3000].

        Where windows are cut, `window_states` [windows] says how many states of each are heard.

        Clips fill the `<SpeechHere>` of the prompts in reading order. Short rows are padded on the left.

        Raises ClipError: not mono 16 kHz, empty, not finite, too short or long, or more or fewer than places.
        """
        texts = [text] if isinstance(text, str) else list(text)
        clips = [audio] if isinstance(audio, np.ndarray) and audio.ndim == 1 else list(audio or [])
        if sampling_rate != SAMPLE_RATE:
            raise ClipError(f"The audio is at {sampling_rate:,} Hz. Resample it to {SAMPLE_RATE:,} Hz first.")
        checked = [checked_clip(clip, number) for number, clip in enumerate(clips, 1)]
        rows = self._expanded(texts, checked)
        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0
        data: dict[str, Any] = {
            "input_ids": np.array([[pad] * (longest - len(row)) + row for row in rows]),
            "attention_mask": np.array([[0] * (longest - len(row)) + [1] * len(row) for row in rows]),
        }
        if checked:
            data["input_features"] = np.concatenate(
                [mel_windows(self.feature_extractor, clip) for clip in checked]
            )
            if self.tail is not None:
                states = (geometry.states_of(clip.size, self.tail) for clip in checked)
                data["window_states"] = np.concatenate([np.array(each) for each in states])
        return BatchFeature(data, tensor_type=return_tensors)

    def _expanded(self, texts: Sequence[str], clips: Sequence[Clip]) -> list[list[int]]:
        """Token ids with every place made as long as its clip."""
        rows = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        places = sum(row.count(self.speech_token_id) for row in rows)
        if places != len(clips):
            raise ClipError(
                f"The text has {places} {SPEECH_TOKEN} and {len(clips)} clips came with it. "
                f"Write one {SPEECH_TOKEN} for each clip."
            )
        waiting = iter(clips)
        return [
            [
                token
                for id_ in row
                for token in (
                    [id_] * self.tokens_of(next(waiting).size) if id_ == self.speech_token_id else [id_]
                )
            ]
            for row in rows
        ]

    def tokens_of(self, samples: int) -> int:
        """How many audio tokens a clip of `samples` takes."""
        return geometry.tokens_of(samples, self.stack, self.tail)


def checked_clip(clip: Any, number: int) -> Clip:
    """A clip as (samples,) float32. Raises ClipError unless it is mono, finite and neither short nor long."""
    name = f"Clip {number}"
    sound = np.asarray(clip)
    if sound.ndim != 1:
        raise ClipError(f"{name} has the shape {sound.shape}. Mix it down to mono: one row of samples.")
    if sound.dtype == np.int16:
        sound = sound / np.float32(32_768)
    sound = sound.astype(np.float32, copy=False)
    if not np.isfinite(sound).all():
        raise ClipError(
            f"{name} holds values that are not numbers (NaN or infinity). Record or decode it again."
        )
    geometry.check_samples(sound.size, name=name)
    return sound


def mel_windows(extractor: WhisperFeatureExtractor, clip: Clip) -> NDArray[np.float32]:
    """Log-mel windows [windows, mel_bins, 3000] of one clip (samples,)."""
    windows = [clip[at : at + WINDOW_SAMPLES] for at in range(0, clip.size, WINDOW_SAMPLES)]
    # `do_normalize` is an argument of the call; the published preprocessor_config.json does not carry it.
    found = extractor(windows, sampling_rate=SAMPLE_RATE, do_normalize=True, return_tensors="np")
    mel: NDArray[np.float32] = found["input_features"]
    return mel


def check_mel_bins(extractor: int, encoder: int) -> None:
    """Raise ValueError unless the feature extractor makes what the encoder reads."""
    if extractor != encoder:
        raise ValueError(
            f"preprocessor_config.json makes {extractor} mel bins and the encoder reads {encoder}. "
            "Take the preprocessor_config.json of the same checkpoint."
        )


def speech_token_id(tokenizer: Any) -> int:
    """The id of `<SpeechHere>`. Raises ValueError where the tokenizer does not have it as one token."""
    found = tokenizer.convert_tokens_to_ids(SPEECH_TOKEN)
    if found is None or found == tokenizer.unk_token_id:
        raise ValueError(
            f"The tokenizer does not know {SPEECH_TOKEN}, where the audio goes. "
            "Take the tokenizer files of the same checkpoint, or add it as a special token."
        )
    return int(found)


def chat_template_of(config: Any, tokenizer: Any) -> str:
    """The chat template of a checkpoint: its release's turns within its decoder's."""
    own = None if config.text_config.model_type == "gemma2" else tokenizer.chat_template
    return chat_template(config.layout.turn, own)


class MERaLiONProcessor(AudioLLMProcessor):
    """MERaLiON-AudioLLM's, under the name in its preprocessor_config.json: AutoProcessor looks for that."""


class MERaLiON2Processor(AudioLLMProcessor):
    """MERaLiON-2's."""


class MERaLiON3ASRProcessor(AudioLLMProcessor):
    """MERaLiON-3-ASR's."""


PROCESSORS: dict[type[AudioLLMConfig], type[AudioLLMProcessor]] = {
    AudioLLMConfig: AudioLLMProcessor,
    MeralionConfig: MERaLiONProcessor,
    Meralion2Config: MERaLiON2Processor,
    Meralion3AsrConfig: MERaLiON3ASRProcessor,
}
for _config, _processor in PROCESSORS.items():
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoProcessor.register(_config, _processor, exist_ok=True)
