"""An authority of client certificates, made by openssl."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/database
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
rand_serial = yes
default_md = sha256
crlnumber = {folder}/crlnumber
policy = any
unique_subject = no
[any]
commonName = supplied
"""


@dataclass(frozen=True)
class Certificate:
    """A client certificate and its key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Its own key and certificate, in a folder of their own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.certificate = folder / "ca.pem"
        self._openssl("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={name}")
        (folder / "database").touch()
        (folder / "crlnumber").write_text("01\n")
        (folder / "ca.cnf").write_text(CONFIG.format(folder=folder))

    @property
    def thumbprint(self) -> str:
        """SHA-1 of its certificate, in the groups that Windows shows."""
        digest = thumbprint(self.certificate)
        return " ".join(digest[at : at + 2] for at in range(0, 40, 2))

    def issue(
        self,
        name: str,
        alternative: str | None = None,
        usage: str = "clientAuth",
        expired: bool = False,
    ) -> Certificate:
        """A certificate of the common name `name`."""
        safe = "".join(letter if letter.isalnum() else "_" for letter in f"{name}{usage}{expired}")
        made = Certificate(self.folder / f"{safe}.pem", self.folder / f"{safe}.key")
        extensions = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={usage}"]
        if alternative:
            extensions.append(f"subjectAltName={alternative}")
        (self.folder / f"{safe}.ext").write_text("\n".join(extensions) + "\n")
        self._openssl("req", *CURVE, "-keyout", made.key.name, "-out", f"{safe}.csr", "-subj", f"/CN={name}")
        dates = ["20200101000000Z", "20210101000000Z"] if expired else ["20200101000000Z", "20491231000000Z"]
        self._openssl(
            "ca", "-batch", "-notext", "-config", "ca.cnf", "-startdate", dates[0], "-enddate", dates[1],
            "-in", f"{safe}.csr", "-out", made.certificate.name, "-extfile", f"{safe}.ext",
        )
        return made

    def revoke(self, shown: Certificate) -> None:
        """Puts a certificate of its own on the next list."""
        self._openssl("ca", "-config", "ca.cnf", "-revoke", shown.certificate.name)

    def revocation_list(self, form: str = "PEM", expired: bool = False) -> bytes:
        """The list of what it has revoked, as it is now."""
        dates = ["20200101000000Z", "20210101000000Z" if expired else "20491231000000Z"]
        words = ["-gencrl", "-config", "ca.cnf", "-crl_lastupdate", dates[0], "-crl_nextupdate", dates[1]]
        self._openssl("ca", *words, "-out", "ca.crl")
        self._openssl("crl", "-in", "ca.crl", "-outform", form, "-out", "ca.list")
        return (self.folder / "ca.list").read_bytes()

    def mapping(self, subject: str, user: str, uri: str = "*", enabled: bool = True) -> dict[str, object]:
        """An entry of access.certificate_mappings."""
        issuer = self.thumbprint
        return {"issuer": issuer, "subject": subject, "uri": uri, "user": user, "enabled": enabled}

    def _openssl(self, *words: str) -> None:
        openssl(self.folder, *words)


def signed_by_itself(folder: Path, name: str, alternative: str | None = None) -> Certificate:
    """A certificate as openssl makes it: an authority, for any use."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(folder / "certificate.pem", folder / "private_key.pem")
    words = ["-keyout", made.key.name, "-out", made.certificate.name, "-subj", f"/CN={name}", "-days", "100"]
    if alternative:
        words += ["-addext", f"subjectAltName={alternative}"]
    openssl(folder, "req", "-x509", *CURVE, *words)
    return made


def thumbprint(certificate: Path, algorithm: str = "sha1") -> str:
    """The hash of a certificate in PEM."""
    return hashlib.new(algorithm, ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def openssl(folder: Path, *words: str) -> str:
    """What openssl says in a folder."""
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
