"""Transcripts as files to take away."""

from __future__ import annotations

import json
import re

import pytest

from ui.subtitles import as_json, plain, srt, vtt
from ui.wire import Segment

SAID = (Segment(0.0, 1.25, "Two kopi, please."), Segment(3661.5, 7199.9996, "一杯茶。"))
HOSTILE = {
    "arrow": ("left --> right", "left → right", "left --&gt; right"),
    "arrows made by cutting": ("a ---> b --\x00> c", "a -→ b → c", "a ---&gt; b --&gt; c"),
    "blank lines": (" one\n\n\r\n2\n00:00:01,000\ttwo ", "one 2 00:00:01,000 two", "one 2 00:00:01,000 two"),
    "other line ends": ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a b c d e f", "a b c d e f"),
    "control characters": ("a\x00\x07\x1b[31m\x7f\x9bb", "a[31mb", "a[31mb"),
    "half a letter": ("a\ud83db", "ab", "ab"),
    "markup": ("<i>Q&A</i>", "<i>Q&A</i>", "&lt;i&gt;Q&amp;A&lt;/i&gt;"),
    "joined letters": ("நன்றி 👩‍🍳", "நன்றி 👩‍🍳", "நன்றி 👩‍🍳"),
}


def test_srt():
    assert srt(SAID) == (
        "1\n00:00:00,000 --> 00:00:01,250\nTwo kopi, please.\n\n"
        "2\n01:01:01,500 --> 02:00:00,000\n一杯茶。\n\n"
    )


def test_vtt():
    assert vtt(SAID) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nTwo kopi, please.\n\n"
        "01:01:01.500 --> 02:00:00.000\n一杯茶。\n\n"
    )


def test_plain_text():
    assert plain(SAID) == "Two kopi, please.\n一杯茶。\n"


def test_json():
    body = json.loads(as_json(SAID, "Two kopi, please. 一杯茶。", 7200.0))
    assert body == {
        "duration": 7200.0,
        "text": "Two kopi, please. 一杯茶。",
        "segments": [
            {"id": 0, "start": 0.0, "end": 1.25, "text": "Two kopi, please."},
            {"id": 1, "start": 3661.5, "end": 7200.0, "text": "一杯茶。"},
        ],
    }


def test_nothing_said():
    assert (srt([]), vtt([]), plain([])) == ("", "WEBVTT\n\n", "")
    assert json.loads(as_json([], "", 3.0)) == {"duration": 3.0, "text": "", "segments": []}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_is_said_is_one_line_and_no_mark_of_the_format(name: str):
    said, as_text, as_vtt = HOSTILE[name]
    segments = [Segment(0, 1, said), Segment(1, 2, "next")]
    assert srt(segments).split("\n")[2] == as_text
    assert vtt(segments).split("\n")[3] == as_vtt
    assert plain(segments).split("\n")[0] == as_text.replace("→", "-->")
    assert json.loads(as_json(segments, said, 2))["segments"][0]["text"] == as_text.replace("→", "-->")
    for made in (srt(segments), vtt(segments)):
        assert made.count("-->") == 2
        assert len(re.split(r"\n\n", made.strip().removeprefix("WEBVTT\n\n"))) == 2
        made.encode()


def test_what_says_nothing_is_no_subtitle_and_numbers_go_on():
    made = srt([Segment(0, 1, "one"), Segment(1, 2, " \n\x00"), Segment(2, 3, "two")])
    assert made.split("\n")[4:7] == ["2", "00:00:02,000 --> 00:00:03,000", "two"]


def test_a_subtitle_ends_after_it_begins_and_milliseconds_carry():
    assert "00:00:05.000 --> 00:00:05.001" in vtt([Segment(5, 5, "now")])
    assert "00:00:05.000 --> 00:00:05.001" in vtt([Segment(5, 4, "now")])
    assert "00:59:59,999 --> 01:00:00,000" in srt([Segment(3599.9994, 3599.9996, "noon")])
    assert "100:00:00,000 --> " in srt([Segment(360_000, 360_001, "late")])
