"""Whether an answer may become a row: every reason against it has a name, a count and examples."""

# ruff: noqa: SIM905 - a list of words reads better as text

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from model.embedded.spoken_numbers import in_words
from training.data.annotate.config import Rules
from training.data.annotate.questions import Question, words_of

REASONS = {
    "empty": "nothing was answered",
    "too_long": "longer than such an answer may be",
    "refusal": "the model declined",
    "not_json": "not the JSON that was asked for",
    "missing": "JSON without the fields that were asked for",
    "not_english": "another language, or no words",
    "meta": "speaks of a transcript, a text, or itself, which nobody hears",
    "label": "names a label of a speaker, which nobody hears",
    "no_question": "the question is none",
    "unanswerable": "says that the recording does not tell",
    "given_away": "the question holds its answer",
    "not_grounded": "holds words or numbers that were not said",
    "not_shorter": "a summary as long as what it summarises",
    "wrong_label": "a phrasing that says something else than what is known",
}

LONGEST_REPLY = 4_000  # characters; more is never a row, so it is not looked into

REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:cannot|can't|can not|won't) "
    r"(?:help|assist|answer|provide|comply|do|create|write)|as an AI|as a language model)\b",
    re.IGNORECASE,
)
META = re.compile(
    r"\b(?:transcripts?|transcription|passage|excerpt|given text|the text|provided|according to the "
    r"(?:audio|recording|dialogue)|in the json|language model)\b",
    re.IGNORECASE,
)
UNHEARD_LABEL = re.compile(r"\bspeaker\s?(?:\d|[A-D]\b|one\b|two\b)", re.IGNORECASE)
UNANSWERABLE = re.compile(
    r"\b(?:not (?:mentioned|specified|stated|clear|known|given|said)|unknown|unclear|cannot be determined|"
    r"does(?:n't| not) say|no information)\b",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"\b(?:who|whom|whose|what|which|where|when|why|how|is|are|was|were|do|does|did|can|could|will|would|"
    r"has|have|had|should)\b",
    re.IGNORECASE,
)
FENCE = re.compile(r"^```(?:json)?\s*(.*?)\s*```$", re.DOTALL)
# Words that say nothing about whether an answer is grounded, and that every English sentence has some of.
COMMON = frozenset(
    (
        "a about after all also an and any are as at be because been before but by can could did do does for "
        "from had has have he her him his how i if in into is it its just me more my no not of on one or our "
        "out she so some than that the their them then there they this to too up was we were what when where "
        "which who why will with would yes you your"
    ).split()
)
PEOPLE = {"woman": {"woman", "female", "lady", "women"}, "man": {"man", "male", "gentleman", "men"}}


class Verdict(NamedTuple):
    """What became of an answer: the words of a row, or the reason why there is none."""

    reason: str = ""
    question: str = ""
    answer: str = ""


def judged(question: Question, reply: str, rules: Rules) -> Verdict:
    """Check one reply against what was said."""
    reply = reply.strip()
    if not reply:
        return Verdict("empty")
    if len(reply) > LONGEST_REPLY:
        return Verdict("too_long")
    if REFUSAL.search(reply):
        return Verdict("refusal")
    return CHECKS[question.task](question, reply, rules)


def _sqa(question: Question, reply: str, rules: Rules) -> Verdict:
    fields = _fields(reply, ("question", "answer"))
    if isinstance(fields, Verdict):
        return fields
    asked, answer = fields
    said = _stems(words_of(question.said))
    rest = _content(answer) - _content(asked)
    reasons = {
        "too_long": len(asked.split()) > rules.longest_question or len(answer.split()) > rules.longest_answer,
        "not_english": not _is_english(f"{asked} {answer}"),
        "meta": META.search(f"{asked} {answer}"),
        "label": UNHEARD_LABEL.search(f"{asked} {answer}"),
        "no_question": not asked.endswith("?") or len(asked.split()) < 3 or not ASKS.search(asked),
        "unanswerable": UNANSWERABLE.search(answer),
        "given_away": not rest and _content(answer),
        "not_grounded": _share_in(rest, said) < rules.grounded or _numbers(answer) - said,
    }
    return _first(reasons) or Verdict(question=asked, answer=answer)


def _sds(question: Question, reply: str, rules: Rules) -> Verdict:
    fields = _fields(reply, ("summary",))
    if isinstance(fields, Verdict):
        return fields
    (summary,) = fields
    spoken = words_of(question.said)
    said = _stems(spoken)
    names = {_stem(word) for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", summary)}
    reasons = {
        "too_long": len(summary.split()) > rules.longest_summary,
        "not_english": not _is_english(summary),
        "meta": META.search(summary),
        "label": UNHEARD_LABEL.search(summary),
        "unanswerable": UNANSWERABLE.search(summary),
        "not_shorter": len(summary.split()) >= len(spoken.split()),
        # A summary has words of its own; names and numbers it may not invent.
        "not_grounded": names - said or _numbers(summary) - said or not _content(summary) & said,
    }
    return _first(reasons) or Verdict(answer=summary)


def _phrasing(question: Question, reply: str, rules: Rules) -> Verdict:
    sentence = " ".join(reply.strip("\"' \n").split())
    words = set(re.findall(r"\w+", sentence.lower()))
    others = {word for name, group in PEOPLE.items() if name != question.label for word in group}
    says = PEOPLE.get(question.label, set()) & words or question.label.lower() in sentence.lower()
    reasons = {
        "too_long": len(sentence.split()) > rules.longest_answer,
        "not_english": not _is_english(sentence),
        "meta": META.search(sentence),
        "wrong_label": not says or (question.label in PEOPLE and words & others),
    }
    return _first(reasons) or Verdict(answer=sentence)


CHECKS: dict[str, Callable[[Question, str, Rules], Verdict]] = {
    "sqa": _sqa,
    "sds": _sds,
    "gender": _phrasing,
    "accent": _phrasing,
}


def _first(reasons: Mapping[str, object]) -> Verdict | None:
    return next((Verdict(name) for name, found in reasons.items() if found), None)


def _fields(reply: str, names: tuple[str, ...]) -> list[str] | Verdict:
    """The fields of a reply that is JSON, in a fence or not."""
    try:
        found = json.loads(FENCE.sub(r"\1", reply))
    except (json.JSONDecodeError, RecursionError):
        return Verdict("not_json")
    if not isinstance(found, dict):
        return Verdict("not_json")
    values = [found.get(name) for name in names]
    texts = [" ".join(value.split()) for value in values if isinstance(value, str)]
    return texts if len(texts) == len(names) and all(texts) else Verdict("missing")


def _is_english(text: str) -> bool:
    """Latin letters for the most part and, in a sentence, words that English cannot do without."""
    letters = [letter for letter in text if letter.isalpha()]
    if not letters or sum(letter.isascii() for letter in letters) < 0.9 * len(letters):
        return False
    words = re.findall(r"[a-z']+", text.lower())
    return len(words) < 8 or any(word in COMMON for word in words)


def _content(text: str) -> set[str]:
    return {_stem(word) for word in _words(text) if word not in COMMON}


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _words(text)}


def _numbers(text: str) -> set[str]:
    """The stems of the numbers in a text, however they are written."""
    return _stems(" ".join(in_words(figures) for figures in re.findall(r"\d+(?:[.,:]\d+)*", text)))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", in_words(text).lower().replace("'s", ""))


def _stem(word: str) -> str:
    """Forms of one word fall together for the most part: walked, walking, walks."""
    word = word.lower()
    for ending in ("ing", "ies", "ied", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _share_in(words: set[str], said: set[str]) -> float:
    return len(words & said) / len(words) if words else 1.0
