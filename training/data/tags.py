"""The marks of NSC's transcribers, and what is left of a transcript without them.

No public document lists the marks. This table is from programs that read the corpus: Kaldi's egs/nsc,
lhotse's nsc recipe, and zouxunlong/data_process by an author of MNSC, whose choices are followed: words in
brackets stay, of `<mandarin>words:romanised</mandarin>` the first half stays, underscores go. What `<NEN>`
and `<Z>` stand for is a guess: speech that was not written down, and silence.
"""

from __future__ import annotations

import re
import unicodedata

from training.data.ledger import Rejected
from training.data.settings import Tags

SILENCE = re.compile(r"(?:\s*<(?:s|z|sil)\s*/?>\s*)*", re.IGNORECASE)
LANGUAGE = re.compile(r"<(mandarin|malay|tamil)>([^<>:]*)(?::[^<>]*)?</\1>", re.IGNORECASE)
SPAN = re.compile(r"<([a-z]+\d*)>([^<>]*)</\1>", re.IGNORECASE)
NOISE = re.compile(r"<(?:spk|fil|sta|non|nps|sil|s|z|c|q)\s*/?>|\(pp[bclo]\)", re.IGNORECASE)
UNINTELLIGIBLE = re.compile(r"<(?:unk|nen)\s*/?>|\*\*+", re.IGNORECASE)
FRAGMENT = re.compile(r"[^\s~]+~")
FILLER = re.compile(r"\(([^()]*)\)")
KEPT = re.compile(r"\[([^\[\]]*)\]|!([^!\s][^!]*)!|#([^#]+)#")
LEFT_OVER = re.compile(r"[<>][^<>]*[<>]?")
SPEAKER = re.compile(r"<speaker\d+>:")
HAN = re.compile(r"([\u3400-\u9fff])")


def is_silence(text: str) -> bool:
    """Is this an interval in which nobody speaks?"""
    return SILENCE.fullmatch(text) is not None


def plain(text: str, policy: Tags) -> str:
    """A transcript without marks, spaces put in order.

    Raises Rejected: unintelligible words, a tag that is not known, nothing left.
    """
    said = unicodedata.normalize("NFC", text)
    said = SPAN.sub(r"\2", LANGUAGE.sub(r"\2", said))
    if policy.unintelligible == "drop" and UNINTELLIGIBLE.search(said):
        raise Rejected("unintelligible", _quoted(text))
    said = NOISE.sub(" ", UNINTELLIGIBLE.sub(" ", said))
    said = FRAGMENT.sub(" ", said) if policy.fragments == "drop" else said.replace("~", "")
    said = FILLER.sub(r"\1" if policy.fillers == "keep" else " ", said)
    said = KEPT.sub(lambda mark: mark[1] or mark[2] or mark[3] or "", said).replace("_", "")
    if found := LEFT_OVER.search(said):
        raise Rejected("unknown_tag", f"{found[0]} in {_quoted(text)}")
    said = re.sub(r"\s+([,.;:?!])", r"\1", " ".join(said.split()))
    if not any(letter.isalnum() for letter in said):
        raise Rejected("empty", _quoted(text))
    return said


def words(text: str) -> list[str]:
    """The words alone, to compare: no case, no punctuation, no `<Speaker1>:`; Han characters one by one."""
    said = SPEAKER.sub(" ", unicodedata.normalize("NFKC", text).lower())
    said = HAN.sub(r" \1 ", said.replace("'", "").replace("\u2019", ""))
    # Letters, numbers, and the marks that Tamil writes its vowels with.
    return "".join(sign if unicodedata.category(sign)[0] in "LNM" else " " for sign in said).split()


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
