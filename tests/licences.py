"""Holds that every dependency may be shipped: `python tests/licences.py`.

Reads `cargo metadata`; a licence outside the list, a source other than
crates.io, or a second library for TLS is refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib",
}
BANNED = {"openssl-sys", "native-tls", "ring"}
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression: str) -> bool:
    """Holds when the licence expression can be met from the list."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    value, rest = _either(tokens)
    if rest:
        raise ValueError(expression)
    return value


def _either(tokens: list[str]) -> tuple[bool, list[str]]:
    value, tokens = _both(tokens)
    while tokens and tokens[0] == "OR":
        other, tokens = _both(tokens[1:])
        value = value or other
    return value, tokens


def _both(tokens: list[str]) -> tuple[bool, list[str]]:
    value, tokens = _one(tokens)
    while tokens and tokens[0] == "AND":
        other, tokens = _one(tokens[1:])
        value = value and other
    return value, tokens


def _one(tokens: list[str]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        value, rest = _either(tokens[1:])
        return value, rest[1:]
    name, rest = tokens[0], tokens[1:]
    if rest and rest[0] == "WITH":
        name, rest = f"{name} WITH {rest[1]}", rest[2:]
    return name in ALLOWED, rest


def main() -> int:
    """The exit status."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    packages = [package for package in metadata["packages"] if package["id"] in used and package["source"]]
    wrong = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if not package["license"] or not allowed(package["license"]):
            wrong.append(f"{name}: licence {package['license']}")
        if package["source"] != CRATES_IO:
            wrong.append(f"{name}: from {package['source']}")
        if package["name"] in BANNED:
            wrong.append(f"{name}: not wanted")
    print("\n".join(wrong) or f"{len(packages)} dependencies, all may be shipped")
    return 1 if wrong or not packages else 0


sys.exit(main())
