"""The published checkpoint layouts, one row each: what tells them apart and what serving them needs.

Facts from the public model cards and configuration files of MERaLiON; no code of theirs. A folder is known by
its model_type, then by its class, then by what its weights hold, for names have changed between releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AdapterKind = Literal["mlp", "gated"]
Turn = Literal["context_first", "instruction_first"]

SPEECH_TOKEN = "<SpeechHere>"  # noqa: S105 - where the audio goes in a prompt
SPEECH_TOKEN_INDEX = 255_999  # its id in the published tokenizers


@dataclass(frozen=True)
class Layout:
    """One family of checkpoints."""

    id: str
    title: str
    model_type: str  # in config.json
    architecture: str  # in config.json
    adapter: AdapterKind
    turn: Turn
    mel_bins: int | None  # None: whatever the configuration says
    max_seconds: int  # of one clip in a prompt
    no_repeat_ngram: int  # 0: no guard
    licence: str
    hub_ids: tuple[str, ...]


LAYOUTS = (
    Layout(
        "v1",
        "MERaLiON-AudioLLM",
        "meralion",
        "MERaLiONForConditionalGeneration",
        adapter="mlp",
        turn="context_first",
        mel_bins=80,
        max_seconds=300,
        no_repeat_ngram=6,
        licence="MERaLiON Public Licence v1",
        hub_ids=("MERaLiON/MERaLiON-AudioLLM-Whisper-SEA-LION",),
    ),
    Layout(
        "v2",
        "MERaLiON-2",
        "meralion2",
        "MERaLiON2ForConditionalGeneration",
        adapter="gated",
        turn="instruction_first",
        mel_bins=128,
        max_seconds=300,
        no_repeat_ngram=6,
        licence="MERaLiON Public Licence v3",
        hub_ids=("MERaLiON/MERaLiON-2-10B", "MERaLiON/MERaLiON-2-10B-ASR", "MERaLiON/MERaLiON-2-3B"),
    ),
    Layout(
        "v3-asr",
        "MERaLiON-3-ASR",
        "meralion3_asr",
        "MERaLiON3ASRForConditionalGeneration",
        adapter="gated",
        turn="instruction_first",
        mel_bins=128,
        max_seconds=300,
        no_repeat_ngram=6,
        licence="MERaLiON-3 Public Licence",
        hub_ids=("MERaLiON/MERaLiON-3-3B-ASR",),
    ),
    Layout(
        "open",
        "Audio LLM of this project",
        "meralion_audiollm",
        "AudioLLMForConditionalGeneration",
        adapter="mlp",
        turn="context_first",
        mel_bins=None,
        max_seconds=300,
        no_repeat_ngram=0,
        licence="see the model card",
        hub_ids=(),
    ),
)
BY_MODEL_TYPE = {layout.model_type: layout for layout in LAYOUTS}
BY_ARCHITECTURE = {layout.architecture: layout for layout in LAYOUTS}


def find(model_type: str, architectures: tuple[str, ...], adapter: AdapterKind | None) -> Layout | None:
    """The layout that a configuration and the adapter found in the weights agree on, or None.

    Names of releases that are not in the table ("meralion3_chat") are taken by what they hold: the gated
    adapter came with the second release.
    """
    named = BY_MODEL_TYPE.get(model_type) or next(
        (BY_ARCHITECTURE[name] for name in architectures if name in BY_ARCHITECTURE), None
    )
    if named is not None:
        return named
    if adapter is None or not model_type.startswith("meralion"):
        return None
    return BY_MODEL_TYPE["meralion2" if adapter == "gated" else "meralion"]
