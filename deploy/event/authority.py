"""The demo's own certificate authority: made once, kept, and of no use for any site on the internet.

It may vouch for addresses and for names of a local network only (RFC 5280, name constraints), so that a guest
who trusts it for a day cannot be fooled about a bank. Caddy makes the short-lived certificates below it.
"""

from __future__ import annotations

import contextlib
import datetime
import plistlib
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.event.data import Data, write

CERTIFICATE, KEY = "authority.crt", "authority.key"
_YEARS = 5
_EARLIER = datetime.timedelta(days=2)  # for phones whose clocks are behind
# Names that nobody can buy: RFC 6762, RFC 6761, RFC 8375, and what routers and ICANN call home.
_LOCAL_NAMES = ("local", "localhost", "home.arpa", "internal", "lan", "test")


@dataclass(frozen=True)
class Authority:
    """What guests trust."""

    certificate: x509.Certificate
    is_new: bool

    @property
    def pem(self) -> bytes:
        """The certificate as a file that every phone and computer takes."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def title(self) -> str:
        """The name under which a phone lists it."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in pairs of hexadecimal digits, for comparing by eye."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def lacks(self, names: Sequence[str]) -> list[str]:
        """Return those of `names` that it may not vouch for."""
        said = self.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        allowed = [str(one.value) for one in said.permitted_subtrees or () if isinstance(one, x509.DNSName)]
        return [name for name in names if not any(name == one or name.endswith(f".{one}") for one in allowed)]

    def profile(self) -> bytes:
        """Return it as a profile for iPhones and iPads (Apple, Configuration Profile Reference)."""
        base = uuid.uuid5(uuid.NAMESPACE_OID, self.fingerprint)
        payload = {
            "PayloadType": "com.apple.security.root",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"meralion.demo.{base}.authority",
            "PayloadUUID": str(uuid.uuid5(base, "authority")).upper(),
            "PayloadDisplayName": self.title,
            "PayloadCertificateFileName": "ca.crt",
            "PayloadContent": self.certificate.public_bytes(serialization.Encoding.DER),
        }
        return plistlib.dumps(
            {
                "PayloadType": "Configuration",
                "PayloadVersion": 1,
                "PayloadIdentifier": f"meralion.demo.{base}",
                "PayloadUUID": str(base).upper(),
                "PayloadDisplayName": self.title,
                "PayloadDescription": "Lets this phone trust the demo on this network. Remove it afterwards.",
                "PayloadContent": [payload],
            }
        )


def authority(data: Data, names: Sequence[str]) -> Authority:
    """Return the authority that is kept; make one where there is none, or where its files are damaged."""
    with contextlib.suppress(OSError, ValueError, x509.ExtensionNotFound):
        certificate = x509.load_pem_x509_certificate(data.path(CERTIFICATE).read_bytes())
        key = serialization.load_pem_private_key(data.path(KEY).read_bytes(), None)
        until = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        if key.public_key() == certificate.public_key() and until > datetime.timedelta(days=30):
            certificate.extensions.get_extension_for_class(x509.NameConstraints)
            return Authority(certificate, is_new=False)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _made(key, names)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(data.path(KEY), private)
    made = Authority(certificate, is_new=True)
    write(data.path(CERTIFICATE), made.pem, 0o644)
    return made


def _made(key: ec.EllipticCurvePrivateKey, names: Sequence[str]) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    host = socket.gethostname().partition(".")[0]
    title = f"MERaLiON demo at {host} ({now:%Y-%m-%d})"[:64]
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "MERaLiON demo"),
            x509.NameAttribute(NameOID.COMMON_NAME, title),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    permitted = [x509.DNSName(name) for name in dict.fromkeys((*_LOCAL_NAMES, *names))]
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        # Addresses are not bounded: a network may have any, and no site is called by one.
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, hashes.SHA256())
    )
