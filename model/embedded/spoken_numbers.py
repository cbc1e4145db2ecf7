"""Numbers, money, times, dates and shorthand written out in words, as people in Singapore say them.

`in_words("Blk 123, $5.50 at 7:30pm")` is "block one two three, five dollars fifty at seven thirty P M".
"""

# ruff: noqa: SIM905 - a list of words reads better as text

import re
from collections.abc import Callable

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = ", , twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety".split(", ")
SCALES = ("", "thousand", "million", "billion", "trillion")
LARGEST_DIGITS = 3 * len(SCALES)
IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MONTHS = ("January February March April May June July August September October November December").split()
CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", "sen")}
MONEY_SCALES = {"k": "thousand", "m": "million", "bn": "billion"}
UNITS = {
    "km": "kilometre",
    "cm": "centimetre",
    "mm": "millimetre",
    "m": "metre",
    "kg": "kilogram",
    "g": "gram",
    "ml": "millilitre",
    "L": "litre",
    "hr": "hour",
    "hrs": "hour",
    "min": "minute",
    "mins": "minute",
    "ms": "millisecond",
    "s": "second",
    "KB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "kHz": "kilohertz",
    "Hz": "hertz",
}
TITLES = {
    "Mr": "mister",
    "Mrs": "missus",
    "Ms": "miz",
    "Mdm": "madam",
    "Dr": "doctor",
    "Prof": "professor",
}
SHORTHAND = {
    "vs": "versus",
    "etc": "et cetera",
    "approx": "approximately",
    "Blk": "block",
    "Ave": "avenue",
    "Rd": "road",
    "Jln": "jalan",
    "Bt": "bukit",
    "Dept": "department",
    "Govt": "government",
}
# Words in front of a number that make people say it digit by digit.
DIGIT_BY_DIGIT = r"(?:block|bus|service|flight|singapore|extension|code|pin|hotline)"
SYMBOLS = {"&": " and ", "%": " percent ", "@": " at ", "+": " plus ", "=": " equals ", "°": " degrees "}


def digits(text: str) -> str:
    """Say each digit of `text` on its own; everything else in it is skipped."""
    return " ".join(ONES[int(digit)] for digit in text if digit in "0123456789")


def cardinal(number: int) -> str:
    """The number in words: 1205 is "one thousand two hundred and five"."""
    if number < 0:
        return f"minus {cardinal(-number)}"
    if number < 20:
        return ONES[number]
    if number < 100:
        ten, one = divmod(number, 10)
        return TENS[ten] + (f"-{ONES[one]}" if one else "")
    if number < 1000:
        hundred, rest = divmod(number, 100)
        return f"{ONES[hundred]} hundred" + (f" and {cardinal(rest)}" if rest else "")
    if len(str(number)) > LARGEST_DIGITS:
        return digits(str(number))
    scale = (len(str(number)) - 1) // 3
    head, rest = divmod(number, 1000**scale)
    words = f"{cardinal(head)} {SCALES[scale]}"
    if not rest:
        return words
    return f"{words} and {cardinal(rest)}" if rest < 100 else f"{words} {cardinal(rest)}"


def ordinal(number: int) -> str:
    """21 is "twenty-first"."""
    head, separator, last = re.fullmatch(r"(.*?)([ -]?)([a-z]+)", cardinal(number)).groups()  # type: ignore[union-attr]
    if last in IRREGULAR_ORDINALS:
        last = IRREGULAR_ORDINALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ieth"
    else:
        last = f"{last}th"
    return f"{head}{separator}{last}"


def year(number: int) -> str:
    """1965 is "nineteen sixty-five", 2005 "two thousand and five", 2026 "twenty twenty-six"."""
    century, rest = divmod(number, 100)
    if 2000 <= number < 2010:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def plain(text: str) -> str:
    """A number as written, "1,234.5" or "08" or "1965", in words."""
    whole, _, fraction = text.replace(",", "").partition(".")
    if fraction:
        return f"{cardinal(int(whole or 0)) if len(whole) < 16 else digits(whole)} point {digits(fraction)}"
    if len(whole) > LARGEST_DIGITS or (len(whole) > 1 and whole.startswith("0")):
        return digits(whole)
    number = int(whole)
    return year(number) if 1100 <= number < 2100 and "," not in text else cardinal(number)


def money(match: re.Match[str]) -> str:
    """$5.50 is "five dollars fifty", $0.80 "eighty cents", $3 million "three million dollars"."""
    unit, small = CURRENCIES[match["sign"]]
    whole, cents = match["whole"].replace(",", ""), (match["cents"] or "")
    if match["scale"]:
        amount = plain(f"{whole}.{cents}" if cents else whole)
        scale = MONEY_SCALES.get(match["scale"].lower(), match["scale"])
        return f"{amount} {scale} {unit}s"
    if len(whole) > LARGEST_DIGITS:
        return f"{digits(whole)} {unit}s"
    dollars, coins = int(whole), int(cents.ljust(2, "0")[:2] or 0)
    if not dollars and coins:
        return f"{cardinal(coins)} {small if coins == 1 else small + 's'}"
    words = f"{cardinal(dollars)} {unit if dollars == 1 else unit + 's'}"
    return f"{words} {cardinal(coins)}" if coins else words


def time_of_day(match: re.Match[str]) -> str:
    """7:30pm is "seven thirty P M", 9:05 "nine oh five", 18:00 "eighteen hundred"."""
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = f" {match['half'][0].upper()} M" if match["half"] else ""
    if minute:
        return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}{half}"
    if half:
        return cardinal(hour) + half
    return f"{cardinal(hour)} hundred" if hour > 12 else f"{cardinal(hour)} o'clock"


def date(match: re.Match[str]) -> str:
    """9/8/2026 is "ninth August twenty twenty-six": the day comes first, as in Singapore."""
    day, month = int(match[1]), int(match[2])
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return match[0]
    return f"{ordinal(day)} {MONTHS[month - 1]} {year(int(match[3]))}"


def measure(match: re.Match[str]) -> str:
    """5km is "five kilometres"."""
    unit = UNITS[match["unit"]]
    plural = "" if match["number"] == "1" or unit.endswith("hertz") else "s"
    return f"{plain(match['number'])} {unit}{plural}"


NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
Replacement = Callable[[re.Match[str]], str]
RULES: tuple[tuple[re.Pattern[str], Replacement], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replace)
    for pattern, replace in (
        (rf"\b(?-i:({'|'.join(TITLES)}))\b\.?(?=\s)", lambda m: TITLES[m[1]]),
        (rf"\b(?-i:({'|'.join(SHORTHAND)}))\b(?:\.(?=\s+(?-i:[a-z\d])))?", lambda m: SHORTHAND[m[1]]),
        (r"\bLor(?=\s+\d)", lambda m: "lorong"),
        (r"\be\.g\.,?", lambda m: "for example"),
        (r"\bi\.e\.,?", lambda m: "that is"),
        (r"\bno\.\s*(?=\d)", lambda m: "number "),
        # "$10-15" is a range; "91234567" in two groups or "#05-123" is not.
        (r"(?<![\d#-])(\d{1,3})\s?[-\u2013]\s?(?=\$?\d{1,3}(?![\d-]))", lambda m: f"{m[1]} to "),
        (
            r"(?:\b(?:s|us|sg))?(?P<sign>[$£€¥])\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<cents>\d{1,2})(?!\d))?"
            r"(?:\s?(?P<scale>thousand|million|billion|trillion|k|m|bn)\b)?",
            money,
        ),
        (
            r"\b(?P<hour>1?\d|2[0-3])(?:[:.](?P<minute>[0-5]\d))?\s?(?P<half>[ap])\.?m\b(?:\.(?=\s+(?-i:[a-z])))?",
            time_of_day,
        ),
        (r"\b(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?P<half>)\b", time_of_day),
        (r"\b(\d{1,2})/(\d{1,2})/(\d{4})\b", date),
        (r"#(\d+)-(\d+)", lambda m: f"number {digits(m[1])} dash {digits(m[2])}"),
        (r"\+(\d{1,3})(?=[ -]?\d)", lambda m: f"plus {digits(m[1])},"),
        # Singapore's phone numbers are two groups of four.
        (r"(?<!\d)([3689]\d{3})[ -]?(\d{4})(?![\d,.]\d|\d)", lambda m: f"{digits(m[1])}, {digits(m[2])}"),
        (
            r"\b1[- ]?800[- ](\d{3})[- ](\d{4})\b",
            lambda m: f"one eight hundred, {digits(m[1])}, {digits(m[2])}",
        ),
        (rf"\b({DIGIT_BY_DIGIT})\s+(\d{{3,}})", lambda m: f"{m[1]} {digits(m[2])}"),
        (r"\b24/7\b", lambda m: "twenty-four seven"),
        (r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: ordinal(int(m[1])) if len(m[1]) < 16 else digits(m[1])),
        (r"\b(\d{1,4})0s\b", lambda m: re.sub(r"y$", "ie", plain(f"{m[1]}0")) + "s"),
        (
            rf"(?<!\d)(?P<number>{NUMBER})\s?(?-i:(?P<unit>{'|'.join(UNITS)}))\b",
            measure,
        ),
        (r"(?<=\d)\s?°\s?c\b", lambda m: " degrees Celsius"),
        (r"(?<![\w.])-(?=\d)", lambda m: "minus "),
        (NUMBER, lambda m: f" {plain(m[0])} "),
        (r"[&%@+=°]", lambda m: SYMBOLS[m[0]]),
    )
)


def in_words(text: str) -> str:
    """`text` with every digit and common shorthand written out. Other words stay as they are."""
    for pattern, replace in RULES:
        text = pattern.sub(replace, text)
    return re.sub(r" +(?=[,.!?;:]|$)", "", re.sub(r" {2,}", " ", text)).strip()
