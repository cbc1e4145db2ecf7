"""What Caddy is told: https for all, a plain page for phones that do not trust us yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

Config = dict[str, Any]
_BODY_BYTES = 110 * 2**20  # somewhat more than the pages take, which say so in a sentence
_LOOPBACK = ["127.0.0.0/8", "::1/128"]

_OWN_SOCKETS = "ws://{http.request.hostport} wss://{http.request.hostport}"  # Older iPhones' 'self' has none
# As deploy/caddy/Caddyfile has them, and why they are so; a test holds the two together. No promise of https
# for a year: an address here may be another's tomorrow.
RULES = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    f"font-src 'self' data:; connect-src 'self' {_OWN_SOCKETS} data: blob:; worker-src 'self' blob:; "
    "frame-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=(), "
    "display-capture=()",
    "X-Frame-Options": "SAMEORIGIN",
}


@dataclass(frozen=True)
class Ports:
    """Where guests come in, and where the pages and the one who allows certificates listen."""

    https: int
    http: int
    pages: int
    allow: int


def config(ports: Ports, folder: Path, certificate: tuple[Path, Path, str] | None) -> Config:
    """Return the whole of Caddy's configuration.

    `folder` holds the authority, `site/` and what Caddy keeps for itself. `certificate` is a real one: its
    file, its key's, and its first name; None is the authority of our own.
    """
    site = str(folder / "site")
    asked = _files(site, not certificate)
    pages = _to_pages(ports.pages)
    http = [
        *asked,
        # Browsers lend the microphone to localhost without https: a kiosk on this machine needs no trust.
        _route({"host": ["localhost", "127.0.0.1"], "remote_ip": {"ranges": _LOOPBACK}}, *pages),
        _route({}, _redirect(ports.https, certificate[2] if certificate else "")),
    ]
    trusted = _route({"path": ["/trusted"]}, {"handler": "static_response", "status_code": 204})
    servers = {
        "https": {
            **_server(ports.https, [trusted, *asked, _route({}, *pages)], site),
            "tls_connection_policies": [_policy(certificate)],
        },
        "http": _server(ports.http, http, site),
    }
    apps: Config = {
        "http": {"http_port": ports.http, "https_port": ports.https, "servers": servers},
        "tls": _own(ports.allow) if certificate is None else _given(certificate),
    }
    if certificate is None:
        root = {
            "certificate": str(folder / "authority.crt"),
            "private_key": str(folder / "authority.key"),
            "format": "pem_file",
        }
        apps["pki"] = {"certificate_authorities": {"local": {"install_trust": False, "root": root}}}
    return {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "storage": {"module": "file_system", "root": str(folder / "caddy")},
        "apps": apps,
    }


def _server(port: int, routes: list[Config], site: str) -> Config:
    # While the pages start, or start again, guests see a page that looks again by itself.
    waiting: list[Config] = [
        {"handler": "rewrite", "uri": "/starting.html"},
        {"handler": "headers", "response": {"set": {"Cache-Control": ["no-store"], "Retry-After": ["3"]}}},
        {"handler": "file_server", "root": site, "status_code": "503"},
    ]
    broken: Config = {"expression": "{http.error.status_code} in [502, 503, 504]"}
    return {
        "listen": [f":{port}"],
        "protocols": ["h1", "h2"],
        "automatic_https": {"disable": True},
        "read_header_timeout": 20_000_000_000,  # nanoseconds
        "idle_timeout": 300_000_000_000,
        "routes": [_hidden_name(), *routes],
        "errors": {"routes": [_route(broken, *waiting)]},
    }


def _hidden_name() -> Config:
    headers = {"handler": "headers", "response": {"deferred": True, "delete": ["Server"]}}
    return {"handle": [headers]}


def _files(site: str, own: bool) -> list[Config]:
    """Return the routes of the plain page and the certificate, which a real certificate has no need of."""
    if not own:
        return []
    kinds = {"/ca.crt": "application/x-x509-ca-cert", "/ca.mobileconfig": "application/x-apple-aspen-config"}
    serve: Config = {"handler": "file_server", "root": site}

    def with_headers(**headers: str) -> Config:
        fresh = {"Cache-Control": ["no-store"]}
        said = {name.replace("_", "-"): [value] for name, value in headers.items()}
        return {"handler": "headers", "response": {"set": fresh | said}}

    routes = [
        _route({"path": [path]}, with_headers(Content_Type=kind), serve) for path, kind in kinds.items()
    ]
    page: Config = {"handler": "rewrite", "uri": "/trust.html"}
    return [*routes, _route({"path": ["/trust", "/trust/*"]}, page, with_headers(), serve)]


def _to_pages(port: int) -> list[Config]:
    limit = {"handler": "request_body", "max_size": _BODY_BYTES}
    zip_ = {"handler": "encode", "encodings": {"zstd": {}, "gzip": {}}, "prefer": ["zstd", "gzip"]}
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"127.0.0.1:{port}"}],
        "flush_interval": -1,  # words go out as they come
        "transport": {"protocol": "http", "dial_timeout": 3_000_000_000, "keep_alive": {"enabled": True}},
    }
    rules = {"handler": "headers", "response": {"set": {name: [value] for name, value in RULES.items()}}}
    return [limit, rules, zip_, proxy]


def _redirect(port: int, name: str) -> Config:
    """Send on to https: by the name that a real certificate has, else by whatever name one came by."""
    host = name or "{http.request.host}"
    target = f"https://{host}" + ("" if port == 443 else f":{port}") + "{http.request.uri}"
    # Not for ever: the next event may have other ports.
    return {"handler": "static_response", "status_code": 307, "headers": {"Location": [target]}}


def _policy(certificate: tuple[Path, Path, str] | None) -> Config:
    """Return how a certificate is chosen: for a call by address, which names none, that of the address."""
    if certificate is None:
        return {}
    return {"default_sni": certificate[2], "fallback_sni": certificate[2]}


def _own(allow: int) -> Config:
    allowed = {"module": "http", "endpoint": f"http://127.0.0.1:{allow}/allowed"}
    issuer = {"module": "internal", "ca": "local"}
    return {
        "automation": {
            "policies": [{"issuers": [issuer], "on_demand": True}],
            "on_demand": {"permission": allowed},
        }
    }


def _given(certificate: tuple[Path, Path, str]) -> Config:
    file, key, _ = certificate
    return {
        "certificates": {"load_files": [{"certificate": str(file.absolute()), "key": str(key.absolute())}]}
    }


def _route(match: Config, *handlers: Config) -> Config:
    return {**({"match": [match]} if match else {}), "handle": list(handlers), "terminal": True}
