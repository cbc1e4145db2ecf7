"""The sentence of a transcript that most likely holds the answer to a question.

The text model is small and often misses what stands in front of it. Quoting the sentence gives people
something to check it by: among the bundled samples' questions the sentence holds the answer more often than
the model's words do (`benchmarks/results/quotes.md`, `prompts.md`).
"""

import math
import re
from collections import Counter

_GRAMMAR = frozenset(
    re.findall(
        r"\w+",
        "a an and are at be by can could did do does for from had has have he her his how i in is it its "
        "many may much my of on or our shall she should that the their them there they this to was we were "
        "what when where which who whom whose why will with would you your",
    )
)
_SENTENCE_END = re.compile(r"(?<!Mr\.)(?<!Mrs\.)(?<!Ms\.)(?<!Dr\.)(?<=[.?!。？！])\s+")
_ASKS_FIGURE = re.compile(
    r"how (?:much|many|far|long|old|warm|hot|cold|big|often)|when\b|(?:at |on )?(?:what|which) "
    r"(?:time|day|date|floor|number|bus|chapter|block|price|year)"
)
_FIGURE = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|half|dozen|hundred|"
    r"thousand|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|today|tomorrow|yesterday)\b"
)
_QUESTION = re.compile(
    r"\?\s*$|^\W*(?:what|who|whom|whose|when|where|why|which|how|is|are|was|were|do|does|did)\b"
)
_ASKS_PRICE = re.compile(r"how much\b|\b(?:price|cost|pay|paid)\b")
_PRICE = re.compile(r"\$|\b(?:dollars?|cents?|bucks?)\b")
# Weights of the words of the sentence before, of the one after, and of a figure that is asked for.
BEFORE, AFTER, FIGURE = 0.4, 0.2, 0.8
# A question in the clip is seldom the answer; the sentence after it often is.
ASKED_ITSELF, ANSWERS_IT = 0.3, 0.9


def is_question(text: str) -> bool:
    """Whether a text asks something, rather than telling to do something."""
    return bool(_QUESTION.search(text.strip().lower()))


def quoted(transcript: str, question: str) -> str:
    """How an answer to a question begins: the sentence that most likely tells; "" when none fits."""
    quote = best_sentence(transcript, question) if is_question(question) else ""
    return f"In the clip: “{quote}”\n\n" if quote else ""


def best_sentence(transcript: str, question: str) -> str:
    """The sentence that shares the question's rare words, itself or next to it; "" when none fits."""
    sentences = [part for part in _SENTENCE_END.split(transcript.strip()) if part]
    bags = [_bag(sentence) for sentence in sentences]
    seen = Counter(word for bag in bags for word in bag)
    asked = _bag(question)
    own = [sum(math.log(1 + len(bags) / seen[word]) for word in bag & asked) for bag in bags]
    best, best_score = "", 0.0
    for number, sentence in enumerate(sentences):
        before = own[number - 1] if number else 0.0
        after = own[number + 1] if number + 1 < len(own) else 0.0
        follows_question = number > 0 and sentences[number - 1].endswith("?")
        score = own[number] * (ASKED_ITSELF if sentence.endswith("?") else 1.0)
        score += before * (ANSWERS_IT if follows_question else BEFORE) + after * AFTER
        score += FIGURE * _figures(sentence.lower(), question.lower())
        if score > best_score:
            best, best_score = sentence, score
    return best


def _figures(sentence: str, question: str) -> int:
    """How well a sentence holds the kind of figure that is asked for: 0, 1, or 2 for a price."""
    if _ASKS_PRICE.search(question) and _PRICE.search(sentence):
        return 2
    return int(bool(_ASKS_FIGURE.search(question) and _FIGURE.search(sentence)))


def _bag(text: str) -> set[str]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {re.sub(r"(?:ing|ed|es|s|e)$", "", word) for word in words if word not in _GRAMMAR}
