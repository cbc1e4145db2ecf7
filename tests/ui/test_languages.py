"""The tables of words: the same keys and values in every language, all of them used, none missing."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator

import pytest

from tests.test_architecture import files_of
from ui.language import FIRST, NAMES, of_locale, table, words

OTHERS = [code for code in NAMES if code != FIRST]
LOOKS_UP = {"t": 0, "words": 1}  # the functions that look a key up, and which argument it is
SCRIPTS = {"zh": r"[\u4e00-\u9fff]", "ta": r"[\u0b80-\u0bff]"}
SEPARATOR = re.compile(r"[,;、·] ?")  # stands between words, and so may end in a space
SECTION = re.compile(r"[a-z_]+\\\.")  # how a pattern begins that makes keys of one section
# Names that are the same in every language.
NAMES_ALONE = re.compile(r"[\W\d_]*(MERaLiON|SRT|VTT|JSON|HTML|Markdown|Top-p|WER)?[\W\d_]*(\{\w+\}[\W_]*)*")


def placeholders(text: str) -> set[str]:
    """What a text leaves open; raises ValueError where its braces are wrong."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def trees() -> Iterator[tuple[str, ast.AST]]:
    for file in files_of("Home.py", "pages", "ui"):
        yield file.name, ast.parse(file.read_text("utf-8"))


def looked_up() -> Iterator[tuple[str, ast.expr]]:
    """The keys that pages look up, with the file in which they do."""
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOKS_UP:
                place = LOOKS_UP[node.func.id]
                if len(node.args) > place:
                    yield file, node.args[place]


def pattern(node: ast.JoinedStr) -> re.Pattern[str]:
    """What an f-string can become."""
    parts = (re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in node.values)
    return re.compile("".join(parts))


@pytest.mark.parametrize("code", OTHERS)
def test_every_table_has_the_same_keys_in_the_same_order(code: str):
    assert list(table(code)) == list(table(FIRST))


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_leaves_the_same_values_open(code: str):
    different = {
        key: text
        for key, text in table(code).items()
        if placeholders(text) != placeholders(table(FIRST)[key])
    }
    assert different == {}


@pytest.mark.parametrize("code", NAMES)
def test_no_text_is_empty_or_padded(code: str):
    wrong = {key: text for key, text in table(code).items() if not text.strip() or text != text.strip()}
    assert {key: text for key, text in wrong.items() if not SEPARATOR.fullmatch(text)} == {}


@pytest.mark.parametrize("code", SCRIPTS)
def test_every_text_is_translated(code: str):
    """A text without a letter of the language's own script was left in another."""
    left = {
        key: text
        for key, text in table(code).items()
        if not re.search(SCRIPTS[code], text) and not NAMES_ALONE.fullmatch(text)
    }
    assert left == {}


def test_every_key_that_a_page_looks_up_is_there():
    keys = set(table(FIRST))
    missing = [
        f"{file}: {argument.value}"
        for file, argument in looked_up()
        if isinstance(argument, ast.Constant) and argument.value not in keys
    ]
    missing += [
        f"{file}: {ast.unparse(argument)}"
        for file, argument in looked_up()
        if isinstance(argument, ast.JoinedStr) and not any(map(pattern(argument).fullmatch, keys))
    ]
    assert missing == []


def test_every_key_is_used():
    """By a literal of its name, wherever that stands, or by an f-string that can become it."""
    literals = {
        node.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    made = [node for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    patterns = [pattern(node) for node in made if SECTION.match(pattern(node).pattern)]
    patterns += [pattern(argument) for _, argument in looked_up() if isinstance(argument, ast.JoinedStr)]
    unused = [
        key
        for key in table(FIRST)
        if key not in literals and not any(found.fullmatch(key) for found in patterns)
    ]
    assert unused == []


# What only a program can bring about that talks to the controller without the pages.
NOT_OF_PAGES = {
    *(
        "audio_not_base64",
        "audio_url_failed",
        "content_encoding",
        "content_type",
        "form_invalid",
        "head_too_large",
    ),
    *("head_too_slow", "http_invalid", "invalid_api_key", "json_invalid", "max_tokens_too_large"),
    *("method_not_allowed", "missing_field", "no_place", "not_found", "request_invalid"),
}
RAISED = {
    "ClientError",
    "AudioError",
    "TextModelError",
    "Unavailable",
    "UpstreamFailed",
    "TooLarge",
    "TooSlow",
}
RAISED |= {"Busy", "InvalidRequest", "NotFound", "Unauthorized", "Unsupported", "MethodNotAllowed", "_busy"}


def test_every_failure_that_a_visitor_can_meet_is_told_in_their_language():
    """The codes that stand in the controller, the decoder and the client, where they are made."""
    told = set()
    for file in files_of("backend", "model/audio.py", "model/audio_libav.py", "model/audio_limits.py", "ui"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in RAISED:
                place = 1 if ast.unparse(node.func) == "ClientError" else 0
                code = node.args[place] if len(node.args) > place else None
                if isinstance(code, ast.Constant) and re.fullmatch("[a-z_]+", str(code.value)):
                    told.add(code.value)
    assert len(told) > 40
    assert sorted(code for code in told - NOT_OF_PAGES if f"errors.{code}" not in table(FIRST)) == []


@pytest.mark.parametrize(
    ("locale", "code"),
    [
        ("zh-SG", "zh"),
        ("ms_SG", "ms"),
        ("ta", "ta"),
        ("en-GB", "en"),
        ("fr-FR", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_browser_s_locale_chooses_the_language(locale: str | None, code: str):
    assert of_locale(locale) == code


def test_a_key_that_no_table_has_is_a_mistake_of_ours():
    with pytest.raises(KeyError):
        words("ms", "menu.nowhere")
