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
        (folder / "ca.cnf").write_text(CONFIG.format(folder=folder))

    @property
    def thumbprint(self) -> str:
        """SHA-1 of its certificate, in the groups that Windows shows."""
        digest = hashlib.sha1(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).hexdigest()
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

    def mapping(self, subject: str, user: str, uri: str = "*", enabled: bool = True) -> dict[str, object]:
        """An entry of access.certificate_mappings."""
        issuer = self.thumbprint
        return {"issuer": issuer, "subject": subject, "uri": uri, "user": user, "enabled": enabled}

    def _openssl(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
