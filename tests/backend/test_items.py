"""Packed items read as they were put in."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.answer import Done, Head, Heard, Token
from backend.items import Items

PIECES: st.SearchStrategy[Any] = st.one_of(
    st.text(max_size=4).map(Token),
    st.text(max_size=4).map(Token),
    st.text(max_size=4).map(Heard),
    st.binary(max_size=4),
    st.just(Head("x")),
    st.just(Done("stop")),
)


@given(st.lists(PIECES, max_size=200), st.integers(0, 220))
def test_they_read_as_a_list_does(pieces: list[Any], at: int) -> None:
    items = Items(pieces)
    assert len(items) == len(pieces)
    assert list(items) == pieces
    assert list(items.since(at)) == pieces[at:]
    assert items[at:] == pieces[at:]
    assert items[: at or None] == pieces[: at or None]
    assert [items[one] for one in range(-len(pieces), len(pieces))] == pieces * 2


def test_words_take_little_room() -> None:
    tracemalloc.start()
    items = Items()
    for number in range(64 * 100):
        items.append(Token(f"word{number:04d} "))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(items) == 6_400
    assert taken / 6_400 < 30  # bytes, nine of them letters
