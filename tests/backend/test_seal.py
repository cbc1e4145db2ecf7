"""What is kept or handed on can be read with its own key alone, and garbage is nothing."""

from __future__ import annotations

import random

import pytest

from backend.answer import Done, Head, Heard, Token, Usage
from backend.seal import Item, decode, encode, row_id, seal, unseal

ANSWER: list[Item] = [
    Heard("dua "),
    Heard("kopi"),
    Token("Two"),
    Token(" coffees \ud83d"),  # half a pair, as an engine that streams bytes may say it
    Token("咖啡"),
    Token(""),
    Done("stop", Usage(12, 3), {"asr_ms": 41.5}),
]
PASSED: list[Item] = [Head("audio/wav"), b"RIFF\x00\xff", b"", b"more"]


@pytest.mark.parametrize("items", [ANSWER, PASSED, [], [Done("length")]])
def test_items_come_back_piece_by_piece(items: list[Item]) -> None:
    assert decode(encode(items)) == items


def test_pieces_take_little_more_room_than_their_words() -> None:
    assert len(encode([Token("word ")] * 1_000)) < 1_000 * 8 + 40


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"7",
        b"[2]",
        b'[1,"token"]',
        b"[1,[]]",
        b'[1,["word","a"]]',
        b'[1,["token",7]]',
        b'[1,["head",null]]',
        b'[1,["bytes","*"]]',
        b'[1,["bytes",7]]',
        b'[1,["done","stop"]]',
        b'[1,["done",["stop",[1],{}]]]',
        b'[1,["done",["stop",null,null]]]',
        b'[1,["done",["stop",null,{"a":"b"}]]]',
        b'[1,["done",["stop",[1e999,1],{}]]]',
        b'[1,[["token"],"a"]]',
        b"[" * 100_000,
        b'[1,["token",' + b"[" * 100_000,
        encode(ANSWER)[:-2],
    ],
)
def test_garbage_decodes_to_nothing(garbage: bytes) -> None:
    assert decode(garbage) is None


def test_only_the_key_opens_what_was_sealed() -> None:
    sealed = seal("a" * 64, b"the answer")
    assert unseal("a" * 64, sealed) == b"the answer"
    assert unseal("b" * 64, sealed) is None
    assert b"answer" not in sealed
    assert seal("a" * 64, b"the answer") != sealed  # never the same nonce twice


def test_any_change_or_cut_opens_to_nothing() -> None:
    sealed = seal("key", b"the answer")
    for at in range(len(sealed)):
        assert unseal("key", sealed[:at]) is None
        changed = bytearray(sealed)
        changed[at] ^= 1
        assert unseal("key", bytes(changed)) is None
    chance = random.Random(7)
    for length in (0, 1, 28, 29, 30, 1_000):
        assert unseal("key", chance.randbytes(length)) is None


def test_the_row_says_nothing_of_the_key() -> None:
    assert row_id("a") != row_id("b")
    assert len(row_id("a")) == 64
    assert row_id("a" * 64) != "a" * 64
