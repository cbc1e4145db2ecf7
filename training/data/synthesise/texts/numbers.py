"""Numbers, times and prices as they are said, in English, Malay and Chinese."""

# ruff: noqa: SIM905 - a list of words reads better as text

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
MALAY = "kosong satu dua tiga empat lima enam tujuh lapan sembilan sepuluh sebelas dua-belas".split()
CHINESE = "零一二三四五六七八九十"


@dataclass(frozen=True)
class Value:
    """What fills a slot: in English, and where it is known in Malay and Chinese."""

    english: str
    malay: str = ""
    chinese: str = ""
    number: int | None = None
    following: str = ""  # of a day or a month: the next one


def english(number: int) -> str:
    """0 to 9,999 in words, as in Singapore: "two hundred and five"."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f" {ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, size)
    joint = " and " if rest < 100 else " "
    return f"{english(head)} {name}" + (f"{joint}{english(rest)}" if rest else "")


def small(chance: Random) -> Value:
    """2 to 12; as a count in Chinese, where two is 两."""
    number = chance.randint(2, 12)
    chinese = (
        "两" if number == 2 else CHINESE[min(number, 10)] + (CHINESE[number - 10] if number > 10 else "")
    )
    return Value(english(number), MALAY[number].replace("-", " "), chinese, number)


def number(chance: Random) -> Value:
    """2 to 9,999, small ones more often."""
    found = chance.randint(2, chance.choice((99, 99, 999, 9_999)))
    return Value(english(found), number=found)


def tens(chance: Random) -> Value:
    """20 to 90."""
    found = 10 * chance.randint(2, 9)
    return Value(english(found), number=found)


def digits(chance: Random) -> Value:
    """Three to six figures, said one by one."""
    return _one_by_one([chance.randrange(10) for _ in range(chance.randint(3, 6))])


def phone(chance: Random) -> Value:
    """Eight figures, as Singapore's numbers have."""
    figures = [chance.choice((6, 8, 9)), *(chance.randrange(10) for _ in range(7))]
    first, second = _one_by_one(figures[:4]).english, _one_by_one(figures[4:]).english
    return Value(f"{first}, {second}")


def price(chance: Random) -> Value:
    """Ninety cents to fifty dollars."""
    dollars, cents = chance.randrange(51), 10 * chance.randrange(10)
    if not dollars:
        return Value(f"{english(max(cents, 20))} cents")
    unit = "dollar" if dollars == 1 else "dollars"
    return Value(f"{english(dollars)} {unit}" + (f" {english(cents)}" if cents else ""))


def time(chance: Random) -> Value:
    """A time of day, in one of the ways of saying it."""
    hour = english(chance.randint(1, 12))
    plain = (f"{hour} o'clock", f"half past {hour}", f"quarter to {hour}", f"quarter past {hour}")
    minutes = f"{hour} {english(chance.choice((5, 10, 20, 25, 35, 40, 50, 55)))}".replace(" five", " oh five")
    later = chance.choice(("", "", " in the morning", " in the evening"))
    return Value(chance.choice((*plain, f"{hour} fifteen", f"{hour} thirty", minutes)) + later)


def _one_by_one(figures: list[int]) -> Value:
    return Value(
        " ".join(ONES[figure] for figure in figures),
        " ".join(MALAY[figure] for figure in figures),
        "".join(CHINESE[figure] for figure in figures),
    )


SLOTS: dict[str, Callable[[Random], Value]] = {
    "small": small,
    "number": number,
    "tens": tens,
    "digits": digits,
    "phone": phone,
    "price": price,
    "time": time,
}
"""Slots that are counted rather than listed."""
