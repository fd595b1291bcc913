"""Makes src/mechanism/binding/clients.toml: what clients bind a log-on to, by the signature of the certificate.

PYTHONPATH=tests tests/.env/bin/python -m harness.channel_binding > src/mechanism/binding/clients.toml
"""

from __future__ import annotations

import base64
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from pypsrp.negotiate import HTTPNegotiateAuth
from requests_ntlm.requests_ntlm import _get_certificate_hash as by_requests_ntlm
from winrm.vendor.requests_kerberos.kerberos_ import _get_certificate_hash as by_pywinrm

RSA = ["-newkey", "rsa:2048"]
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
PSS = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]

SIGNATURES = {
    **{f"RSA, {name}": [*RSA, f"-{name}"] for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")},
    **{f"RSA, {name}": [*RSA, f"-{name}"] for name in ("sha3-256", "sha3-384", "sha3-512")},
    **{f"ECDSA, {name}": [*CURVE, f"-{name}"] for name in ("sha1", "sha224", "sha256", "sha384", "sha512")},
    **{f"ECDSA, {name}": [*CURVE, f"-{name}"] for name in ("sha3-256", "sha3-384", "sha3-512")},
    **{f"RSA-PSS, {name}": [*RSA, *PSS, f"-{name}"] for name in ("sha1", "sha224", "sha256", "sha384", "sha512")},
    "Ed25519": ["-newkey", "ed25519"],
    "Ed448": ["-newkey", "ed448"],
}

CLIENTS: dict[str, Callable[[bytes], bytes | None]] = {
    "pypsrp": HTTPNegotiateAuth._get_certificate_hash,
    "requests_ntlm": by_requests_ntlm,
    "pywinrm": by_pywinrm,
}


def certificate(arguments: list[str], folder: Path) -> bytes:
    """A certificate that openssl signs so."""
    command = ["openssl", "req", "-x509", *arguments, "-nodes", "-keyout", "key.pem", "-outform", "DER"]
    command += ["-out", "certificate.der", "-subj", "/CN=localhost", "-days", "36500"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "certificate.der").read_bytes()


def main() -> None:
    """Writes the file to standard output."""
    print("# Certificates by `openssl req -x509` (3.0), and the hash of each that clients put behind")
    print('# "tls-server-end-point:" (pypsrp 0.9.1, requests_ntlm 1.3.0, pywinrm 0.5.0 for Kerberos). A client')
    print("# that is missing fails. Made by tests/harness/channel_binding.py.")
    with tempfile.TemporaryDirectory() as name:
        for signature, arguments in SIGNATURES.items():
            der = certificate(arguments, Path(name))
            print(f'\n[[certificate]]\nsignature = "{signature}"')
            print(f'der = "{base64.b64encode(der).decode()}"')
            for client, hashed in CLIENTS.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        value = hashed(der)
                    except AttributeError:
                        # pywinrm takes for granted that a signature has a hash.
                        value = None
                if value:
                    print(f'{client} = "{value.hex()}"')


if __name__ == "__main__":
    main()
