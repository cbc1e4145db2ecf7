"""The plain pages that need no trust: how to come to trust the demo, and what is shown while it starts."""

from __future__ import annotations

import html
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from deploy.event.authority import Authority
from deploy.event.data import Data, write

LANGUAGES = ("en", "zh", "ms", "ta")
# The kinds of device, how many steps each takes, and whether they begin with the profile.
_DEVICES = {"iphone": 4, "android": 4, "windows": 3, "mac": 3, "firefox": 2}
_HERE = Path(__file__).parent
_LOOK_AGAIN_S = 3


@cache
def words(code: str) -> Mapping[str, str]:
    """Return one language's words by key."""
    table = tomllib.loads((_HERE / "words" / f"{code}.toml").read_text("utf-8"))
    return {key: str(text) for key, text in table.items()}


def lay_out(data: Data, https_port: int, own: Authority | None) -> None:
    """Write the pages and the authority's certificate to where Caddy finds them."""
    folder = data.path("site")
    folder.mkdir(exist_ok=True, mode=0o700)
    write(folder / "starting.html", _starting().encode(), 0o644)
    if own:
        write(folder / "trust.html", trust_page(own, https_port).encode(), 0o644)
        write(folder / "ca.crt", own.pem, 0o644)
        write(folder / "ca.mobileconfig", own.profile(), 0o644)


def trust_page(own: Authority, https_port: int) -> str:
    """Return the page that tells how to trust the demo, in every language, for every kind of device."""
    links = "".join(f'<a href="#{code}" lang="{code}">{words(code)["name"]}</a>' for code in LANGUAGES)
    sections = "".join(_section(code, own) for code in LANGUAGES)
    script = (_HERE / "page.js").read_text("utf-8")
    inner = f"<main><nav>{links}</nav>{sections}</main><script>{script}</script>"
    return _page("MERaLiON demo", f'<body data-https="{https_port}">{inner}</body>')


def _section(code: str, own: Authority) -> str:
    said = {key: html.escape(text.replace("{authority}", own.title)) for key, text in words(code).items()}
    profile = f'<a class="button" href="/ca.mobileconfig">{said["get_profile"]}</a>'
    certificate = f'<a class="button" href="/ca.crt" download="ca.crt">{said["get"]}</a>'
    devices = "".join(
        f'<details data-for="{kind}"><summary>{said[kind]}</summary>'
        f"{profile if kind == 'iphone' else certificate}<ol>"
        + "".join(f"<li>{said[f'{kind}_{step}']}</li>" for step in range(1, steps + 1))
        + "</ol></details>"
        for kind, steps in _DEVICES.items()
    )
    return (
        f'<section lang="{code}" id="{code}"><h1>{said["title"]}</h1><p>{said["why"]}</p>'
        f'<a class="button first" href="/">{said["open"]}</a><p class="quiet">{said["open_note"]}</p>'
        f'{devices}<p class="quiet">{said["safe"]}</p><p class="quiet">{said["compare"]}</p>'
        f"<code>{own.fingerprint}</code><p>{said['help']}</p></section>"
    )


def _starting() -> str:
    said = "".join(
        f'<div lang="{code}"><h2>{html.escape(words(code)["starting"])}</h2>'
        f"<p>{html.escape(words(code)['starting_note'])}</p></div>"
        for code in LANGUAGES
    )
    again = f'<meta http-equiv="refresh" content="{_LOOK_AGAIN_S}">'
    return _page("MERaLiON demo", f'<body><main class="wait">{said}</main></body>', again)


def _page(title: str, body: str, head: str = "") -> str:
    style = (_HERE / "page.css").read_text("utf-8")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}<title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<style>{style}</style></head>{body}</html>\n"
    )
