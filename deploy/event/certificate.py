"""A host's own, real certificate: whether it can be used, and for which names."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from deploy.event.settings import EventError


def names_of(cert: Path, key: Path) -> tuple[str, ...]:
    """Return the names in a certificate, the first to be told. Raises EventError where it is of no use."""
    try:
        found = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    except (OSError, ValueError):
        raise EventError(f"--cert names {cert}, which is no certificate in PEM. Name its file.") from None
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        raise EventError(
            f"--key names {key}, which is no private key in PEM, or has a password. Name its file."
        ) from None
    if private.public_key() != found.public_key():
        raise EventError(f"{key} is not the key of {cert}. Name the two that belong together.")
    if found.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise EventError(
            f"{cert} was valid until {found.not_valid_after_utc:%Y-%m-%d}. Renew it, and begin again."
        )
    try:
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise EventError(
            f"{cert} names no host. Browsers refuse it; have one made with a name in it."
        ) from None
    names = [*said.get_values_for_type(x509.DNSName), *map(str, said.get_values_for_type(x509.IPAddress))]
    return tuple(names)
