"""The calendar of the host is set, by weeks and years, while jobs wait.

The clock of the machine stays as it is: a library of a few lines, loaded
before the service, moves what `CLOCK_REALTIME` shows by what a file says.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from harness.origin import Fault
from harness.wsman import TRANSFERRED, TRANSIENT_ERROR

HOUR = 3_600
YEARS = 10 * 365 * 86_400
# More than NoProgressTimeout, less than the service's certificate lasts.
WEEKS = 20 * 86_400

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *shown) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, shown);
    const char *path = getenv("CALENDAR_OFFSET");
    if (clock == CLOCK_REALTIME && path) {
        char text[32] = {0};
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) shown->tv_sec += atol(text);
            close(file);
        }
    }
    return result;
}
"""


class Calendar(WithDaemon):
    """Waits follow a clock that does not jump."""

    library: ClassVar[Path]
    offset: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise unittest.SkipTest("no C compiler")
        folder = Path(tempfile.mkdtemp(prefix="bitsd-clock-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.library, cls.offset = folder / "calendar.so", folder / "offset"
        source = folder / "calendar.c"
        source.write_text(SHIM)
        cls.offset.write_text("0")
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(cls.library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        cls.environment = {"LD_PRELOAD": str(cls.library), "CALENDAR_OFFSET": str(cls.offset)}
        super().setUpClass()

    def jump(self, seconds: int) -> None:
        """Sets the calendar of the service, all at once."""
        new = self.offset.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self.offset)

    def retried_across(self, seconds: int) -> None:
        """A job that waits for its next attempt while the calendar jumps."""
        url, source = self.source(faults=[Fault(503)])
        job = self.client.create_job(self.name, url, self.target())
        self.client.put(job, {"MinimumRetryDelay": 6})
        self.client.set_state(job, 2)
        self.client.wait_for(job, TRANSIENT_ERROR)
        began = time.monotonic()
        self.jump(seconds)
        self.addCleanup(self.jump, 0)
        created = self.client.get(job)
        self.assertEqual(created.state, TRANSIENT_ERROR)
        # A new job is not put before or behind by the calendar either.
        other_url, other = self.source("other")
        second = self.client.create_job("other", other_url, self.target("other"), suspended=False)
        self.client.wait_for(second, TRANSFERRED, 20)
        self.client.wait_for(job, TRANSFERRED, 30)
        self.assertGreater(time.monotonic() - began, 4)
        self.assertEqual(self.client.get(job).number("TransientErrorCount"), 1)
        for waiting, name, data in ((job, "file", source.data), (second, "other", other.data)):
            self.client.set_state(waiting, 1)
            self.assert_same(self.target(name), data)

    def test_the_shim_moves_the_calendar(self) -> None:
        url, _ = self.source()
        self.jump(WEEKS)
        self.addCleanup(self.jump, 0)
        job = self.client.create_job(self.name, url, self.target())
        # Ticks of 100 ns since 1601.
        ticks = self.client.get(job).number("JobCreationTime")
        self.assertGreater(ticks / 10_000_000 - 11_644_473_600, time.time() + WEEKS - HOUR)

    def test_a_delay_survives_a_jump_forward(self) -> None:
        self.retried_across(WEEKS)

    def test_a_delay_survives_a_jump_back(self) -> None:
        self.retried_across(-YEARS)

    def test_a_delay_survives_a_jump_and_a_restart(self) -> None:
        url, _ = self.source(faults=[Fault(503)])
        job = self.client.create_job(self.name, url, self.target())
        self.client.put(job, {"MinimumRetryDelay": 20})
        self.client.set_state(job, 2)
        self.client.wait_for(job, TRANSIENT_ERROR)
        began = time.monotonic()
        self.addCleanup(self.jump, 0)
        # Back, then forward; never past today, when a certificate that the
        # service makes would not be valid yet.
        for seconds in (-2 * HOUR, -HOUR):
            self.jump(seconds)
            self.client.close()
            self.daemon.restart()
            self.client = self.daemon.client()
        self.client.wait_for(job, TRANSFERRED, 40)
        self.assertGreater(time.monotonic() - began, 15)
        self.client.set_state(job, 1)
