"""Certificates that servers should not have, and one that they should."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Certificates:
    """An authority that is trusted, one that is not, and what they signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        now = datetime.datetime.now(datetime.timezone.utc)
        key, authority = self._authority("trusted", now)
        other_key, other = self._authority("untrusted", now)
        self.authority = folder / "trusted.pem"
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        elsewhere = x509.DNSName("elsewhere.test")
        self.pairs = {
            "tls": self._issue("tls", key, authority, loopback, now - DAY, now + 30 * DAY),
            "expired": self._issue("expired", key, authority, loopback, now - 30 * DAY, now - DAY),
            "unknown": self._issue("unknown", other_key, other, loopback, now - DAY, now + 30 * DAY),
            "misnamed": self._issue("misnamed", key, authority, elsewhere, now - DAY, now + 30 * DAY),
            "own": (folder / "untrusted.pem", folder / "untrusted.key"),
        }

    def _authority(self, name: str, now: datetime.datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, subject, key, now - DAY, now + 30 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        self._write(name, key, certificate)
        return key, certificate

    def _issue(
        self,
        name: str,
        signer: ec.EllipticCurvePrivateKey,
        issuer: x509.Certificate,
        alternative: x509.GeneralName,
        begins: datetime.datetime,
        ends: datetime.datetime,
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(name), issuer.subject, key, begins, ends)
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        return self._write(name, key, builder.sign(signer, hashes.SHA256()))

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> tuple[Path, Path]:
        pair = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        pair[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime.datetime,
    ends: datetime.datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(ends)
