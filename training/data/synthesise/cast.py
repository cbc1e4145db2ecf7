"""Who speaks in a split: the voices of each engine, and how often an engine is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from training.data.synthesise.config import Synthesis
from training.data.synthesise.others import OtherVoice, Sex, other_voices
from training.data.synthesise.voices import HELD_OUT, Voice, voices

AnyVoice = Voice | OtherVoice

SPARING = 0.1  # of its weight, where an engine comes late


class Cast:
    """Voices to draw from."""

    def __init__(self, groups: Mapping[str, Sequence[AnyVoice]], weights: Mapping[str, float]) -> None:
        """`groups`: the voices of each engine; `weights`: of the engines."""
        self._groups = {engine: group for engine, group in groups.items() if weights[engine]}
        self._weights = [weights[engine] for engine in self._groups]

    @classmethod
    def of(cls, config: Synthesis, split: str, number: int = 0) -> Cast:
        """The speakers of a split's clip `number`. Those held out are all voices of Kokoro's."""
        if split in HELD_OUT:
            return cls({"kokoro": voices(split, config.voices, config.seed)}, {"kokoro": 1.0})
        groups: dict[str, Sequence[AnyVoice]] = {
            engine: voices(split, config.voices, config.seed)
            if engine == "kokoro"
            else other_voices(engine, config.max_pitch, config.seed)
            for engine in config.engines
        }
        weights = {
            engine: weight * (SPARING if number < config.late.get(engine, 0) else 1)
            for engine, weight in config.engines.items()
        }
        return cls(groups, weights)

    @property
    def voices(self) -> list[AnyVoice]:
        """All of them."""
        return [voice for group in self._groups.values() for voice in group]

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that are heard."""
        return tuple(self._groups)

    def chosen(self, speakers: Sequence[str], chance: Random) -> Mapping[str, AnyVoice]:
        """A voice for each speaker, none twice."""
        found: dict[str, AnyVoice] = {}
        for speaker in speakers:
            group = chance.choices(list(self._groups.values()), self._weights)[0]
            left = [voice for voice in group if voice not in found.values()]
            found[speaker] = chance.choice(
                left or [voice for voice in self.voices if voice not in found.values()]
            )
        return found

    def asks_sex(self, sex: Sex) -> float:
        """How often a voice of `sex` is asked for it, that as many women answer as men."""
        heard = {
            each: sum(
                weight * sum(voice.sex == each and voice.tells_sex for voice in group) / len(group)
                for group, weight in zip(self._groups.values(), self._weights, strict=True)
            )
            for each in ("female", "male")
        }
        return min(heard.values()) / heard[sex] if heard[sex] else 0.0
