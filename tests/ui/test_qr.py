"""The pages' address for phones: one that phones lend their microphone to, with nothing of a visit in it."""

from __future__ import annotations

import re

import pytest

from ui.qr import code, phone_address


@pytest.mark.parametrize(
    ("told", "seen", "address"),
    [
        ("", "https://demo.example.sg/voice?clip=private", "https://demo.example.sg/"),
        ("", "https://demo.example.sg:8443/", "https://demo.example.sg:8443/"),
        ("", "http://localhost:8501/", ""),
        ("", "http://192.168.1.20:8501/", ""),
        ("", None, ""),
        ("https://event.example.sg/demo", "http://localhost:8501/", "https://event.example.sg/demo"),
        ("http://event.example.sg", "https://demo.example.sg/", ""),
    ],
)
def test_the_address_is_the_host_s_word_or_what_the_browser_uses(
    environment: pytest.MonkeyPatch, told: str, seen: str | None, address: str
):
    environment.setenv("MERALION_UI_PUBLIC_URL", told)
    assert phone_address(seen) == address


def test_the_code_is_a_picture_in_the_page_itself_with_its_words():
    markup = code("https://demo.example.sg/", 'Scan "this" <now>')
    assert 'alt="Scan &quot;this&quot; &lt;now&gt;"' in markup
    sources = re.findall(r'src="([^"]+)"', markup)
    assert len(sources) == 1
    assert sources[0].startswith("data:image/svg+xml")
