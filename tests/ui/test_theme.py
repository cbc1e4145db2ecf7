"""Colours that everybody can read: WCAG AA, 4.5:1 for text."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ui.settings import ROOT

CONFIG = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
SHEET = Path(ROOT / "ui" / "style.css").read_text()
MODES = ("light", "dark")


def variables(mode: str) -> dict[str, str]:
    pairs = re.findall(r"(--m-[a-z-]+): light-dark\((#\w+), (#\w+)\)", SHEET)
    return {name: pair[MODES.index(mode)] for name, *pair in pairs}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", MODES)
def test_text_can_be_read_on_every_surface(mode: str):
    theme, sheet = CONFIG["theme"][mode], variables(mode)
    surfaces = [theme["backgroundColor"], theme["secondaryBackgroundColor"], sheet["--m-card"]]
    for text in (theme["textColor"], theme["linkColor"], sheet["--m-quiet"], sheet["--m-accent"]):
        assert min(contrast(text, surface) for surface in surfaces) >= 4.5, text
    assert contrast(sheet["--m-accent"], sheet["--m-soft"]) >= 4.5
    assert contrast(sheet["--m-on-primary"], theme["primaryColor"]) >= 4.5
    assert contrast(sheet["--m-on-primary"], sheet["--m-accent"]) >= 4.5
    side = theme["sidebar"]
    assert contrast(side["textColor"], side["backgroundColor"]) >= 4.5


def test_the_page_tells_nobody_and_serves_only_this_machine():
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["server"]["address"] == "localhost"


def test_the_style_sheet_fetches_nothing():
    sheet = re.sub(r"url\('data:[^']*'\)", "", SHEET)  # a picture that the sheet holds itself
    assert not re.search(r"@import|url\(|https?:", sheet)
