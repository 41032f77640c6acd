"""Networks that are named, and those that clients are counted by."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.reception.networks import Networks, host_of, network_of


class NetworkTests(SynchronousTestCase):
    def test_membership(self) -> None:
        networks = Networks(["127.0.0.0/8", "::1/128", "192.0.2.7"])
        for address, inside in (
            ("127.9.9.9", True),
            ("::1", True),
            ("192.0.2.7", True),
            ("192.0.2.8", False),
            ("::2", False),
            ("", False),
            ("/var/run/socket", False),
        ):
            self.assertEqual(address in networks, inside, address)
        self.assertNotIn("127.0.0.1", Networks([]))

    def test_a_wrong_network(self) -> None:
        with self.assertRaises(ValueError):
            Networks(["192.0.2.1/24"])

    def test_hosts_and_their_networks(self) -> None:
        self.assertEqual(host_of("192.0.2.7"), "192.0.2.7")
        self.assertEqual(network_of("192.0.2.7"), "192.0.2.0/24")
        self.assertEqual(host_of("2001:db8:1:2ff:3::4"), "2001:db8:1:2ff::/64")
        self.assertEqual(network_of("2001:db8:1:2ff:3::4"), "2001:db8:1:200::/56")
        self.assertEqual(host_of("fe80::1%eth0"), "fe80::/64")
