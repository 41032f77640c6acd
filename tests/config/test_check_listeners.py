"""What [listeners] may say."""

from __future__ import annotations

from tests.config.files import BASE, ConfigurationTest


class ListenerTests(ConfigurationTest):
    def listener(self, port: int) -> str:
        return f'{BASE}\n[listeners.lmtp]\naddresses = ["127.0.0.2:{port}"]\nkind = "lmtp"\ntls = "none"\n'

    def test_lmtp_is_not_for_port_25(self) -> None:
        self.assertEqual(self.settings(self.listener(24)).listeners["lmtp"].kind, "lmtp")
        errors = self.errors(self.listener(25))
        self.assertEqual(list(errors), ["listeners.lmtp.addresses[0]"])
        self.assertIn("RFC 2033", errors["listeners.lmtp.addresses[0]"].message)
