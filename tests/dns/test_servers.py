"""Which servers are asked."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.servers import Server, choose_servers, parse_server, read_resolv_conf


class ServerTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        self.assertEqual(parse_server("192.0.2.1"), Server("192.0.2.1", 53))
        self.assertEqual(parse_server("192.0.2.1:5353"), Server("192.0.2.1", 5353))
        self.assertEqual(parse_server("2001:DB8::1"), Server("2001:db8::1", 53))
        self.assertEqual(parse_server("2001:db8::"), Server("2001:db8::", 53))
        self.assertEqual(parse_server("[2001:db8::1]"), Server("2001:db8::1", 53))
        self.assertEqual(parse_server("[2001:db8::1]:5353"), Server("2001:db8::1", 5353))
        self.assertEqual(parse_server("127.0.0.1:5353"), Server("127.0.0.1", 5353, trusted=True))
        self.assertEqual(parse_server("::1"), Server("::1", 53, trusted=True))

    def test_what_is_no_address(self) -> None:
        for text in ("", "dns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:x", "[::1", "1.2.3.4:70000"):
            with self.assertRaises(ValueError, msg=text) as caught:
                parse_server(text)
            self.assertIn(repr(text), str(caught.exception))

    def test_resolv_conf(self) -> None:
        path = self.mktemp()
        Path(path).write_text("# x\nsearch example\nnameserver 192.0.2.1\nnameserver bad\nnameserver ::1\n")
        self.assertEqual(read_resolv_conf(path), [Server("192.0.2.1"), Server("::1", trusted=True)])
        self.assertEqual(choose_servers((), ("192.0.2.1",), path)[0], Server("192.0.2.1", trusted=True))
        self.assertEqual(choose_servers(("192.0.2.2",), (), path), (Server("192.0.2.2"),))

    def test_no_resolv_conf(self) -> None:
        self.assertEqual(read_resolv_conf(self.mktemp()), [Server("127.0.0.1", trusted=True)])
