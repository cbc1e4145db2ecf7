"""The configuration of an audio LLM: one Whisper encoder, one adapter, one causal LM (paper, section 3).

It reads the published files as they are. What they leave unsaid (the adapter's kind, the sub-models' types)
is taken from the release, see `model.layouts`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig, WhisperConfig

from model import layouts
from model.geometry import STACK, WINDOW_STATES, tokens_of
from model.layouts import SPEECH_TOKEN_INDEX, AdapterKind, Layout

SCALED_EMBEDDINGS = frozenset({"gemma", "gemma2", "gemma3_text"})
"""Decoders that multiply token embeddings by sqrt(hidden size), and so the speech embeddings beside them."""


class AudioLLMConfig(PreTrainedConfig):
    """An audio LLM.

    Args:
        speech_config: the audio encoder, a WhisperConfig of any size.
        text_config: the text decoder, any causal LM's configuration.
        speech_mlp_scale_factor: encoder states stacked into one audio token (15: 300 ms).
        speech_token_index: id of `<SpeechHere>` in the tokenizer.
        speech_adapter: "mlp" (v1) or "gated" (-2 and -3); None: the release's.
        speech_tail: encoder states of 20 ms heard after a clip's sound; None: all of its last window of 30 s.
        answers: how they are written, as `model.mini.shipped.Generation`; None: as the release's are.

    Raises ValueError for an adapter that is not known, a stack that does not divide 1,500 states, or 15 where
    windows are cut.
    """

    model_type = "meralion_audiollm"
    sub_configs: ClassVar = {"speech_config": WhisperConfig, "text_config": AutoConfig}

    speech_config: Any = None  # a dictionary when given, configurations afterwards
    text_config: Any = None
    speech_mlp_scale_factor: int = 15
    speech_token_index: int = SPEECH_TOKEN_INDEX
    speech_adapter: str | None = None
    speech_tail: int | None = None
    answers: Any = None

    def __post_init__(self, **kwargs: Any) -> None:
        self.speech_config = _speech_config(self.speech_config)
        self.text_config = _text_config(self.text_config)
        if self.speech_adapter is None:
            self.speech_adapter = self.layout.adapter
        if self.speech_adapter not in ("mlp", "gated"):
            raise ValueError(
                f"This checkpoint says its adapter is '{self.speech_adapter}'; 'mlp' and 'gated' are known. "
                "Correct speech_adapter in its config.json."
            )
        if self.speech_mlp_scale_factor < 1 or WINDOW_STATES % self.speech_mlp_scale_factor:
            raise ValueError(
                f"speech_mlp_scale_factor is {self.speech_mlp_scale_factor}; it must divide "
                f"{WINDOW_STATES:,} encoder states evenly, as 15 does. Correct it in config.json."
            )
        if self.speech_tail is not None and (self.speech_tail < 0 or STACK % self.speech_mlp_scale_factor):
            raise ValueError(
                f"speech_tail is {self.speech_tail}, speech_mlp_scale_factor {self.speech_mlp_scale_factor}. "
                f"A tail is 0 or more; windows are then cut to multiples of {STACK} states, which the factor "
                "must divide. Correct them in config.json."
            )
        # vLLM and `generate` look for these on the top level too; they are the decoder's and never their own.
        mirrors = {
            name for name in kwargs if hasattr(self.text_config, name) and not hasattr(PreTrainedConfig, name)
        }
        kwargs = {name: value for name, value in kwargs.items() if name not in mirrors}
        super().__post_init__(**kwargs)
        # Releases have named their class differently; `layout` remembers which release this is.
        self.architectures = [self.layout.architecture]
        self.tie_word_embeddings = self.text_config.tie_word_embeddings

    @property
    def layout(self) -> Layout:
        """The release this configuration belongs to."""
        return layouts.BY_MODEL_TYPE[self.model_type]

    @property
    def adapter_kind(self) -> AdapterKind:
        """Which adapter stands between encoder and decoder."""
        return "gated" if self.speech_adapter == "gated" else "mlp"

    @property
    def window_tokens(self) -> int:
        """Audio tokens of one 30 s window: 100 in the published models."""
        return WINDOW_STATES // self.speech_mlp_scale_factor

    def tokens_of(self, samples: int) -> int:
        """How many audio tokens a clip of `samples` takes."""
        return tokens_of(samples, self.speech_mlp_scale_factor, self.speech_tail)

    @property
    def no_repeat_ngram(self) -> int:
        """Tokens in a row that no answer has twice; 0: no guard."""
        return int(self.answers["no_repeat_ngram"] if self.answers else self.layout.no_repeat_ngram)

    @property
    def embedding_scale(self) -> float:
        """What the decoder multiplies its token embeddings by, and so must be done to speech embeddings."""
        scaled = self.text_config.model_type in SCALED_EMBEDDINGS
        return float(self.text_config.hidden_size**0.5) if scaled else 1.0


class MeralionConfig(AudioLLMConfig):
    """MERaLiON-AudioLLM, the paper's release."""

    model_type = "meralion"


class Meralion2Config(AudioLLMConfig):
    """MERaLiON-2."""

    model_type = "meralion2"


class Meralion3AsrConfig(AudioLLMConfig):
    """MERaLiON-3-ASR."""

    model_type = "meralion3_asr"


CONFIGS = (AudioLLMConfig, MeralionConfig, Meralion2Config, Meralion3AsrConfig)


def _speech_config(given: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    if isinstance(given, PreTrainedConfig):
        return given
    values = dict(given or {})
    values["model_type"] = "whisper"  # releases call it by names of their own; its keys are Whisper's
    return WhisperConfig(**values)


def _text_config(given: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    if isinstance(given, PreTrainedConfig):
        return given
    values = dict(given or {})
    said = values.get("model_type")
    known = said in CONFIG_MAPPING and said not in layouts.BY_MODEL_TYPE
    values["model_type"] = said if known else "gemma2"  # what every release is built on
    return CONFIG_MAPPING[values["model_type"]](**values)
