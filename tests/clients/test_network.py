"""The network goes and comes back."""

from __future__ import annotations

from clients.base import InNamespace


class Network(InNamespace):
    """`network_going`."""

    def test_network(self) -> None:
        self.run_there("network_going", at_least=4)
