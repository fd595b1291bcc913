"""Holds that every dependency may be shipped: `python tests/licences.py`.

Reads `cargo tree`; a licence outside the list, a source other than
crates.io, or a second library for TLS is refused.
"""

from __future__ import annotations

import re
import subprocess
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "NCSA", "OpenSSL", "Unicode-3.0", "Unlicense", "Zlib",
}
BANNED = {"openssl-sys", "native-tls", "ring"}


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
    command = ["cargo", "tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none", "--no-dedupe"]
    listed = subprocess.run([*command, "--format", "{p}\t{l}"], capture_output=True, text=True, check=True).stdout
    wrong = []
    packages = sorted(set(filter(None, listed.splitlines())))
    for line in packages:
        package, _, licence = line.partition("\t")
        if package.startswith(("bitsd ", "bitsd-fuzz ")):
            continue
        if not licence or not allowed(licence):
            wrong.append(f"{package}: licence {licence}")
        # A package that is not from crates.io is shown with where it is from.
        if re.search(r"\((?!proc-macro\))", package):
            wrong.append(f"{package}: not from crates.io")
        if package.split(" ")[0] in BANNED:
            wrong.append(f"{package}: not wanted")
    print("\n".join(wrong) or f"{len(packages)} packages, all may be shipped")
    return 1 if wrong or len(packages) < 2 else 0


sys.exit(main())
