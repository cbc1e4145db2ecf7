"""The interface in Singapore's four official languages: one table a language, looked up by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import streamlit as st

from ui.session import session
from ui.wire import ClientError

NAMES = {"en": "English", "zh": "中文", "ms": "Bahasa Melayu", "ta": "தமிழ்"}
FIRST = "en"
_FOLDER = Path(__file__).with_name("languages")


def t(key: str, /, **values: object) -> str:
    """Return the words of a key, such as "voice.mute", in the visitor's language; `{name}` takes a value.

    Call it where the page is drawn, not in a thread of its own: only there is it known who reads.
    """
    return words(language(), key, **values)


def words(code: str, key: str, /, **values: object) -> str:
    """Return the words of a key in one language. Raises KeyError for a key that no table has."""
    text = table(code).get(key) or table(FIRST)[key]
    return text.format(**values) if values else text


def language() -> str:
    """Return the visitor's language: chosen on the page, or else the browser's, or else English."""
    return session().language or of_locale(st.context.locale)


def of_locale(locale: str | None) -> str:
    """Return the language for a browser's locale, such as "zh-SG"."""
    code = (locale or "").lower().replace("_", "-").partition("-")[0]
    return code if code in NAMES else FIRST


def tell(error: ClientError) -> str:
    """Return what to say of a failure: in the visitor's language where the table knows its code.

    In English as it was told, which may be more exact: it knows how long a clip was, or when to come again.
    """
    key = f"errors.{error.code}"
    if key not in table(FIRST) or (language() == FIRST and error.message):
        return error.message
    return t(key)


def choose_language() -> None:
    """Show the choice of languages, each in its own name and script."""
    st.session_state["language"] = language()
    st.selectbox(
        t("frame.language"),
        list(NAMES),
        format_func=NAMES.__getitem__,
        key="language",
        label_visibility="collapsed",
        on_change=_chosen,
    )


def speak_language() -> None:
    """Tell the browser which language the page is in, so that a screen reader pronounces it as such."""
    with st.container(key="page_language"):
        code = language()
        st.html(f"<script>document.documentElement.lang = '{code}'</script>", unsafe_allow_javascript=True)


def _chosen() -> None:
    session().language = str(st.session_state["language"])


@cache
def table(code: str) -> Mapping[str, str]:
    """Return one language's words by "section.key"."""
    content = tomllib.loads((_FOLDER / f"{code}.toml").read_text(encoding="utf-8"))
    return {f"{section}.{key}": text for section, rows in content.items() for key, text in rows.items()}
