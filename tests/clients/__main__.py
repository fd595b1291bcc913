"""Runs the real-client suite: `python -m clients [-k PATTERN] [--fail-fast]`."""

from __future__ import annotations

import argparse
import sys
import unittest
from pathlib import Path

from harness.checks import run


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="clients", description=__doc__)
    parser.add_argument("-k", metavar="PATTERN", action="append", help="only tests whose name contains it")
    parser.add_argument("--fail-fast", action="store_true")
    given = parser.parse_args()
    loader = unittest.TestLoader()
    if given.k:
        loader.testNamePatterns = [f"*{pattern}*" for pattern in given.k]
    here = Path(__file__).parent
    suite = loader.discover(str(here), "test_*.py", str(here.parent))
    return run("clients", suite, given.fail_fast)


sys.exit(main())
