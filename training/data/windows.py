"""Conversations cut into windows of one encoder's length, where nobody is speaking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.data.ledger import Ledger


@dataclass(frozen=True)
class Turn:
    """`side` (0 or 1) says `text` from `start` to `end` in seconds; None: what cannot be written down."""

    start: float
    end: float
    side: int
    text: str | None


@dataclass(frozen=True)
class Window:
    """Turns that belong together, and the stretch of sound around them."""

    start: float
    end: float
    turns: tuple[Turn, ...]

    @property
    def sides(self) -> list[int]:
        """Who speaks, in the order of first words: the first is Speaker1."""
        return list(dict.fromkeys(turn.side for turn in self.turns))

    @property
    def dialogue(self) -> str:
        """MNSC's form: a line for each change of speaker, `<Speaker1>:` before it."""
        lines: list[str] = []
        last = None
        for turn in self.turns:
            if turn.side == last:
                lines[-1] += f" {turn.text}"
            else:
                lines.append(f"<Speaker{self.sides.index(turn.side) + 1}>: {turn.text}")
            last = turn.side
        return "\n".join(lines)

    @property
    def words(self) -> str:
        """What is said, whoever says it."""
        return " ".join(turn.text or "" for turn in self.turns)


@dataclass(frozen=True)
class _Block:
    """Turns that lie over each other: they cannot be parted."""

    start: float
    end: float
    turns: tuple[Turn, ...]

    @property
    def whole(self) -> bool:
        return all(turn.text is not None for turn in self.turns)


def windows(
    turns: Sequence[Turn], seconds: float, longest: float, padding: float, heard: Ledger, name: str
) -> Iterator[Window]:
    """Windows up to `longest` seconds of a recording of `seconds`, with up to `padding` of the quiet around.

    A window ends only where no turn is going on, so no word is cut and no turn is heard without its words.
    Turns without text are in no window. Turns that alone, or lying over each other, are longer are dropped
    into `heard`; those in windows are kept in it.
    """
    blocks = _blocks(sorted(turns, key=lambda turn: (turn.start, turn.end, turn.side)))
    for first, last in _runs(blocks, longest, heard, name):
        start, end = blocks[first].start, blocks[last].end
        before = (start - blocks[first - 1].end) / 2 if first else start
        after = (blocks[last + 1].start - end) / 2 if last + 1 < len(blocks) else seconds - end
        most = min(padding, (longest - (end - start)) / 2)
        held = tuple(turn for block in blocks[first : last + 1] for turn in block.turns)
        heard.keep(len(held))
        yield Window(start - min(before, most), end + min(after, most), held)


def _blocks(turns: Sequence[Turn]) -> list[_Block]:
    blocks: list[_Block] = []
    for turn in turns:
        if blocks and turn.start < blocks[-1].end:
            last = blocks[-1]
            blocks[-1] = _Block(last.start, max(last.end, turn.end), (*last.turns, turn))
        else:
            blocks.append(_Block(turn.start, turn.end, (turn,)))
    return blocks


def _runs(blocks: Sequence[_Block], longest: float, heard: Ledger, name: str) -> Iterator[tuple[int, int]]:
    """First and last block of each window."""
    first: int | None = None
    for at, block in enumerate(blocks):
        rule = _fault(block, longest)
        if first is not None and (rule or block.end - blocks[first].start > longest):
            yield first, at - 1
            first = None
        if rule:
            for turn in block.turns:
                if turn.text is not None:  # the others are in the ledger
                    heard.drop(rule, f"{name}, {turn.start:.2f} to {turn.end:.2f} s: {turn.text[:60]}")
        elif first is None:
            first = at
    if first is not None:
        yield first, len(blocks) - 1


def _fault(block: _Block, longest: float) -> str:
    if not block.whole:
        return "unintelligible"
    if block.end - block.start > longest:
        return "turn_too_long" if len(block.turns) == 1 else "crosstalk_too_long"
    return ""
