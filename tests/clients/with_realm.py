"""A service that takes every way to log on, and people who log on."""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path
from typing import ClassVar

from clients.drivers import Endpoint, Person
from harness.authority import Authority
from harness.daemon import Daemon, Settings, free_port
from harness.realm import Realm
from harness.wsman import Account

SPNEGO = "application/HTTP-SPNEGO-session-encrypted"
KERBEROS = "application/HTTP-Kerberos-session-encrypted"

BOUNDED = {"access": {"channel_binding": "Strict", "allow_unencrypted": False}}
LENIENT = {"access": {"channel_binding": "Relaxed", "allow_unencrypted": True}}


class WithRealm(unittest.TestCase):
    """A realm, an authority, and a service that takes every way to log on."""

    settings: ClassVar[Settings] = {}
    folder: ClassVar[Path]
    realm: ClassVar[Realm]
    daemon: ClassVar[Daemon]
    people: ClassVar[dict[str, Person]]
    http_port: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.realm = Realm(cls.folder / "realm")
        cls.addClassCleanup(cls.realm.close)
        cls.realm.start()
        password = "Pässw0rd of alice"
        alice = cls.realm.principal("alice", password)
        authority = Authority(cls.folder / "authority")
        shown = authority.issue("alice", "otherName:1.3.6.1.4.1.311.20.2.3;UTF8:alice@example.org")
        cls.http_port = free_port()
        access = {
            "users": ["alice", "bob", alice],
            # Wrong passwords are typed here by the dozen.
            "lockout_failures": 0,
            "keytab": str(cls.realm.keytab()),
            "credssp": True,
            "certificate": True,
            "client_ca_certificates": str(authority.certificate),
            "certificate_mappings": [authority.mapping("alice@example.org", "alice")],
        }
        settings: Settings = {
            "service": {"listen_http": [f"127.0.0.1:{cls.http_port}"]},
            # Envelopes of more than a megabyte go both ways.
            "wsman": {"max_envelope_size_kb": 4_096},
            **cls.settings,
            "access": {**access, **cls.settings.get("access", {})},
        }
        cls.daemon = Daemon(cls.folder / "daemon", settings, environment=cls.realm.environment)
        cls.addClassCleanup(cls.daemon.kill)
        cls.daemon.add_user(cls.daemon.alice, "--ntlm")
        cls.daemon.start()
        cls.people = {
            "password": Person(cls.daemon.alice),
            "principal": Person(Account(alice, password)),
            "ticket": Person(Account(alice, password), ticket=cls.realm.ticket("alice", password)),
            "certificate": Person(cls.daemon.alice, shown=shown),
        }

    @classmethod
    def tearDownClass(cls) -> None:
        stopped = cls.daemon.stop()
        assert stopped.status == 0, f"ended with {stopped.status}: {cls.daemon.tail()}"

    def endpoint(self, tls: bool) -> Endpoint:
        """Where to log on."""
        port = self.daemon.port if tls else self.http_port
        return Endpoint(port, tls, self.daemon.certificate)
