"""How the programs say what held: one line a check, one last line to add up."""

from __future__ import annotations

import sys
import unittest


class Checks:
    """Counts checks of a program that is no unittest."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.passed = 0
        self.failed = 0

    def that(self, holds: bool, what: str, detail: object = "") -> bool:
        """Books a check and says it."""
        if holds:
            self.passed += 1
            print(f"ok   {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {what}: {detail}", flush=True)
        return holds

    def finish(self) -> int:
        """Prints the last line; the exit status."""
        if self.passed + self.failed == 0:
            self.failed = 1
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def run(name: str, suite: unittest.TestSuite, fail_fast: bool = False) -> int:
    """Runs a suite. What was skipped counts as failed: it showed nothing."""
    wanted = suite.countTestCases()
    result = unittest.TextTestRunner(sys.stdout, verbosity=2, failfast=fail_fast).run(suite)
    for test, reason in result.skipped:
        print(f"SKIPPED, so failed: {test}: {reason}")
    bad = len(result.failures) + len(result.errors) + len(result.skipped)
    bad += len(result.unexpectedSuccesses) + len(result.expectedFailures)
    # An error in a fixture of a class or module keeps its tests from running.
    bad = max(bad, wanted - result.testsRun + bad)
    failed = bad or (1 if wanted == 0 else 0)
    print(f"{name}: {max(0, wanted - failed)} passed, {failed} failed", flush=True)
    return 1 if failed else 0
