"""What a row must be like: lengths, loudness, and as many characters as its seconds can hold."""

from __future__ import annotations

from training.data.audio import loudness
from training.data.clips import Clip
from training.data.ledger import Rejected
from training.data.schema import SAMPLE_RATE
from training.data.settings import Rules
from training.data.tags import words


def check(clip: Clip, rules: Rules) -> None:
    """Raise Rejected by the first rule of `ledger.DROPS` that a clip breaks."""
    seconds = clip.pcm.size / SAMPLE_RATE
    if seconds < rules.shortest_s:
        raise Rejected("too_short", f"{clip.id} has {seconds:.2f} s")
    if seconds > rules.longest_s:
        raise Rejected("too_long", f"{clip.id} has {seconds:.2f} s")
    level = loudness(clip.pcm)
    if level < rules.quietest_dbfs:
        raise Rejected("silent", f"{clip.id} reaches {level:.0f} dBFS")
    if clip.text:
        _check_text(clip, seconds, rules)


def _check_text(clip: Clip, seconds: float, rules: Rules) -> None:
    count = sum(map(len, words(clip.text)))
    if not count:
        raise Rejected("empty", f"{clip.id}: {clip.text!r}")
    rate = count / seconds
    said = f"{clip.id}: {count} characters in {seconds:.1f} s, {clip.text[:60]!r}"
    if rate < rules.fewest_characters_s:
        raise Rejected("slow", said)
    if rate > rules.most_characters_s:
        raise Rejected("fast", said)
