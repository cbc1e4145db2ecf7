"""A conversation as a file: everything in it is text, and it needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.ui.conftest import tone
from ui.export import Export, ExportClip, ExportTurn, Words, as_html, as_json, as_markdown, escape, file_name

WORDS = Words("Question", "Heard", "Answer", "No answer", "Model: Tiny", "Saved <today>.")
NASTY = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\n\n"
    "![x](https://example.com/y.png) [a](javascript:alert(3)) `code` **bold**\n# Head\n- list\n1. one\n"
    "<https://example.com> https://example.com www.example.com $x$ </style></main><!-- -->"
)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def nasty(with_times: bool = True) -> Export:
    turn = ExportTurn(NASTY, NASTY, NASTY, "tiny", NASTY if with_times else "", (0,))
    return Export(NASTY, "tiny", (turn, ExportTurn("And now?", "")), (ExportClip(NASTY, 2.0, tone()),), "ta")


class Tags(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("with_sound", [False, True])
def test_a_web_page_holds_words_as_text_and_refers_to_nothing(with_sound: bool):
    page = Tags(as_html(nasty(), WORDS, with_sound=with_sound))
    names = {name for name, _ in page.tags}
    assert not names & {"script", "img", "a", "link", "iframe", "object", "form", "base"}
    addresses = [
        value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert len(addresses) == int(with_sound)
    assert all(value and value.startswith("data:audio/wav;base64,") for value in addresses)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("alert(1)") >= 4
    assert ("html", {"lang": "ta"}) in page.tags


def test_a_web_page_forbids_everything_but_its_own_style_and_sound():
    page = as_html(nasty(), WORDS, with_sound=True)
    policy = next(
        a["content"] for _, a in Tags(page).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"url\(|@import|https?:", page.partition("<style>")[2].partition("</style>")[0])


def test_sound_is_inside_only_where_it_is_wanted():
    sound = base64.b64encode(tone()).decode()[:200]
    assert sound in as_html(nasty(), WORDS, with_sound=True)
    assert sound not in as_html(nasty(), WORDS, with_sound=False)
    assert sound in as_json(nasty(), with_sound=True)
    assert sound not in as_json(nasty(), with_sound=False)


def test_data_says_what_was_said():
    content = json.loads(as_json(nasty(), with_sound=True))
    assert content["turns"][0] == {
        "question": NASTY,
        "clips": [0],
        "heard": NASTY,
        "answer": NASTY,
        "model": "tiny",
        "times": NASTY,
    }
    assert base64.b64decode(content["clips"][0]["wav"]) == tone()
    assert content["language"] == "ta"


def test_markdown_holds_words_as_text():
    text = as_markdown(nasty(with_times=False), WORDS)
    page = Tags(MARKDOWN.render(text))
    assert {name for name, _ in page.tags} <= {"h1", "h2", "h3", "p", "ul", "li", "br", "hr"}
    assert sum(name == "h2" for name, _ in page.tags) == 2
    assert "<script>alert(1)</script>" in page.text
    assert "https://" not in text
    assert "www." not in text


@given(st.text(alphabet=st.sampled_from("ab1.)-+=#>*_`~[]()<>&|!$@:/\\ \"'{}^wW\n\té漢"), max_size=40))
def test_any_words_come_out_of_markdown_as_they_went_in(text: str):
    shown = MARKDOWN.render(escape(text))
    plain = " ".join(text.split())
    assert shown == (f"<p>{html.escape(plain).replace('&#x27;', chr(39))}</p>\n" if plain else "")


def test_a_model_is_named_where_it_is_another():
    export = Export(
        "T", "tiny", (ExportTurn("Q?", "One.", model="tiny"), ExportTurn("Q?", "Two.", model="other"))
    )
    assert "Answer · other" in as_html(export, WORDS, with_sound=False)
    assert "### Answer (other)" in as_markdown(export, WORDS)
    assert "tiny" not in as_markdown(export, WORDS)


def test_a_name_says_when():
    assert re.fullmatch(r"meralion-\d{4}-\d\d-\d\d\.html", file_name("html"))
