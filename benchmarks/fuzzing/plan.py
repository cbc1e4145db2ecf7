"""Which request comes when: every one follows from the seed and its number alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from benchmarks.fuzzing import audio, forms, framing, targets, trees
from benchmarks.fuzzing.corpus import Corpus
from benchmarks.fuzzing.message import (
    CHAT,
    FILES,
    JSON,
    LISTENS,
    SPEECH,
    Message,
    get,
    head,
    name_of,
    post,
    usual,
)
from benchmarks.load.questions import MODEL

# Of the requests that are not schemathesis's.
SHARES = {"audio": 45, "json": 24, "form": 13, "target": 9, "framing": 9}


class Plan:
    """The requests of one run."""

    def __init__(self, seed: int, corpus: Corpus, kinds: Mapping[str, int] | None = None) -> None:
        """Draw them from these seeds, each kind as often as its share says."""
        self._seed = seed
        self._corpus = corpus
        self._sounds = list(corpus.audio.values())
        self._shares = dict(kinds or SHARES)
        self._makers: dict[str, Callable[[Random, int], Message]] = {
            "audio": self._audio,
            "json": self._json,
            "form": self._form,
            "target": self._target,
            "framing": self._framing,
        }

    def message(self, number: int) -> Message:
        """Make one request."""
        rng = Random(f"{self._seed} {number}")
        (kind,) = rng.choices(list(self._shares), list(self._shares.values()))
        return self._makers[kind](rng, number)

    def _audio(self, rng: Random, number: int) -> Message:
        sound = audio.spoilt(rng, self._sounds)
        message = partial(Message, number, "audio")
        lot = rng.random()
        if lot < 0.4:
            body = forms.around(rng, sound, purpose=b"user_data")
            return message(post(FILES, body, usual(number, forms.kind_of())))
        if lot < 0.7:
            body = forms.around(rng, sound, model=MODEL.encode())
            return message(post(rng.choice(LISTENS), body, usual(number, forms.kind_of())))
        asks = {"type": "text", "text": f"What is heard? {rng.randrange(400)}"}
        content = [trees.part(rng, sound), asks]
        asked = {"model": MODEL, "temperature": 0, "stream": rng.random() < 0.5}
        asked["messages"] = [{"role": "user", "content": content}]
        return message(post(CHAT, json.dumps(asked).encode(), usual(number, JSON)))

    def _json(self, rng: Random, number: int) -> Message:
        name, body = trees.spoilt(rng, self._corpus)
        target = SPEECH if name.startswith("speech") != (rng.random() < 0.03) else CHAT
        return Message(number, "json", post(target, body, usual(number, targets.kind(rng))))

    def _form(self, rng: Random, number: int) -> Message:
        name, header, body = forms.spoilt(rng, self._corpus)
        listens = name.startswith("listen") != (rng.random() < 0.1)
        target = rng.choice(LISTENS) if listens else FILES
        return Message(number, "form", post(target, body, usual(number, header)))

    def _target(self, rng: Random, number: int) -> Message:
        method, is_one = targets.method(rng)
        path, headers = targets.path(rng), targets.headers(rng, usual(number))
        raw = get(path, headers, method)
        if method in (b"POST", b"PUT", b"PATCH"):
            body = trees.written(rng, rng.choice(list(self._corpus.trees.values())))
            raw = head(method, path, [*headers, (b"Content-Length", b"%d" % len(body))]) + body
        # Letters that are not ASCII, and what is no path at all, are the HTTP parser's to refuse.
        plain = is_one and path.startswith(b"/") and path.isascii() and b"\\" not in path
        return Message(number, "target", raw, "right" if plain else "broken")

    def _framing(self, rng: Random, number: int) -> Message:
        raw, how = framing.framed(rng, number, self._corpus)
        return Message(number, "framing", raw, how)


def carries_name(message: Message) -> bool:
    """Whether the answer must come under the request's own id."""
    return message.framing != "broken" and name_of(message.number) in message.raw
