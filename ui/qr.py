"""The pages on a visitor's own phone: their https address as a picture that a phone's camera reads."""

from __future__ import annotations

import contextlib
import html
import re
from urllib.parse import urlsplit

import segno
import streamlit as st

from ui.language import t
from ui.recorder import is_insecure
from ui.settings import settings

QUIET_ZONE = 2  # modules of white around the code; phones find it with less than the standard's four


def phone_address(seen: str | None) -> str:
    """Return the address for phones: the host's own word, or the one that this browser uses; "" for none.

    Only one with https, since phones lend the microphone to no other, but for the host's file. What a visitor
    has open is left out.
    """
    if now := _address_now():
        return now
    told = settings().public_url
    if told:
        return told if told.startswith("https://") else ""
    parts = urlsplit(seen or "")
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"https://{parts.netloc}/{base}" if parts.scheme == "https" else ""


def _address_now() -> str:
    """Return what the host's file says now; it may be a page that explains how to trust this one."""
    file = settings().address_file
    with contextlib.suppress(OSError, UnicodeDecodeError):
        said = file.read_text("ascii").strip() if file else ""
        return said if re.fullmatch(r"https?://[\x21-\x7e]{1,300}", said) else ""
    return ""


def code(address: str, label: str) -> str:
    """Return the QR code of an address as markup, with the label for those who cannot see it."""
    # As a picture in the page itself: Streamlit takes drawings (<svg>) out of markup.
    picture = segno.make(address, error="m").svg_data_uri(border=QUIET_ZONE, dark="#101b1c", light="#ffffff")
    return (
        f'<div class="m-qr"><img alt="{html.escape(label, quote=True)}" src="{html.escape(picture)}"></div>'
    )


def on_your_phone() -> None:
    """Offer the code behind a button, in a kiosk always; where phones would have no microphone, say why."""
    address = phone_address(st.context.url)
    if address and settings().kiosk:
        with st.container(key="phone_now", gap=None):
            st.html(_code_with_words(address))
    elif address:
        with (
            st.container(key="phone"),
            st.popover(t("frame.phone"), icon=":material/qr_code_2:", type="tertiary"),
        ):
            st.html(_code_with_words(address))
    elif is_insecure(st.context.url):
        with (
            st.container(key="phone"),
            st.popover(t("frame.no_https"), icon=":material/no_encryption:", type="tertiary"),
        ):
            st.text(t("frame.no_https_why"))
            st.text(t("frame.no_https_cure"))


def _code_with_words(address: str) -> str:
    words = t("frame.phone_scan")
    shown = html.escape(address.removeprefix("https://").rstrip("/"))
    return f'{code(address, f"{words} {address}")}<p class="m-note m-qr-words">{words}<br><b>{shown}</b></p>'
