"""The folder for development."""

from __future__ import annotations

import stat
from pathlib import Path

import dkim
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.load import load_filter_file, load_settings
from mailgw.develop.guide import guide
from mailgw.develop.messages import GTUBE, SELECTOR, SENDER_DOMAIN
from mailgw.develop.setup import Layout, Ports, prepare
from mailgw.develop.world import zone
from mailgw.routing.users import read_users

NOW = 1_800_000_000.0


class PrepareTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.layout = Layout(Path(self.mktemp()))
        self.shipped = Path(self.mktemp())
        self.shipped.mkdir()
        (self.shipped / "filters.toml").write_text("[scores]\nGTUBE = 11.0\n")

    def prepare(self, now: float = NOW) -> str:
        return prepare(self.layout, Ports(mx=10025), self.shipped, now)

    def snapshot(self) -> dict[str, bytes]:
        files = [f for f in self.layout.root.rglob("*") if f.is_file() and self.layout.messages not in f.parents]
        return {str(f): f.read_bytes() for f in files}

    def test_configuration_is_valid(self) -> None:
        self.prepare()
        settings = load_settings(self.layout.configuration)
        self.assertEqual(settings.listeners["mx"].addresses, ("127.0.0.1:10025",))
        self.assertEqual(settings.dns.servers, ("127.0.0.1:5300",))
        self.assertEqual(settings.relay.default, "route:sink")
        for file in (settings.tls.certificate_file, settings.tls.key_file, settings.routing.aliases_file):
            self.assertTrue(Path(file).is_file(), file)
        self.assertEqual(load_filter_file(settings.filters_file).scores, {"GTUBE": 11.0})

    def test_second_run_changes_nothing(self) -> None:
        password = self.prepare()
        before = self.snapshot()
        self.assertEqual(self.prepare(NOW + 3600), password)
        self.assertEqual(self.snapshot(), before)

    def test_secrets_are_private(self) -> None:
        self.prepare()
        for path in (self.layout.password, self.layout.dkim_key, self.layout.certificate_key):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    def test_users_may_log_in(self) -> None:
        self.prepare()
        users = [str(user.mailbox) for user in read_users(str(self.layout.users))]
        self.assertEqual(users, ["alice@example.test", "bob@example.test"])

    def test_changed_users_are_kept(self) -> None:
        self.prepare()
        self.layout.users.write_text("")
        self.prepare()
        self.assertEqual(self.layout.users.read_text(), "")

    def test_changed_configuration_is_kept(self) -> None:
        self.prepare()
        self.layout.configuration.write_text("# mine\n")
        self.prepare()
        self.assertEqual(self.layout.configuration.read_text(), "# mine\n")

    def test_unchanged_configuration_follows_what_is_shipped(self) -> None:
        self.prepare()
        (self.shipped / "filters.toml").write_text("[scores]\nGTUBE = 12.0\n")
        self.prepare()
        self.assertIn("12.0", (self.layout.etc / "filters.toml").read_text())

    def test_old_certificate_is_replaced(self) -> None:
        self.prepare()
        first = self.layout.certificate.read_bytes()
        self.prepare(NOW + 380 * 86400)
        self.assertNotEqual(self.layout.certificate.read_bytes(), first)

    def test_good_message_is_signed_with_the_key_in_dns(self) -> None:
        self.prepare()
        [record] = zone(self.layout.dkim_key.read_bytes())[f"{SELECTOR}._domainkey.{SENDER_DOMAIN}"]["TXT"]
        message = (self.layout.messages / "good.eml").read_bytes()
        self.assertTrue(dkim.verify(message, dnsfunc=lambda name, timeout=5: record.encode()))

    def test_messages_have_crlf_line_ends(self) -> None:
        self.prepare()
        for name in ("good.eml", "gtube.eml", "outside.eml"):
            message = (self.layout.messages / name).read_bytes()
            self.assertEqual(message.count(b"\n"), message.count(b"\r\n"), name)
        self.assertIn(GTUBE.encode(), (self.layout.messages / "gtube.eml").read_bytes())

    def test_folder_with_odd_characters(self) -> None:
        self.layout = Layout(Path(self.mktemp()) / 'a "b" \\ ä')
        self.prepare()
        settings = load_settings(self.layout.configuration)
        self.assertEqual(settings.maildir.root, str(self.layout.mail.resolve()))

    def test_guide_names_what_is_there(self) -> None:
        password = self.prepare()
        text = guide(self.layout, Ports(), password)
        for part in (
            password,
            "127.0.0.1:2525",
            "127.0.0.1:4465",
            "127.0.0.1:5587",
            "good.eml",
            "gtube.eml",
            "outside.eml",
        ):
            self.assertIn(part, text)
