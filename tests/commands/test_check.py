"""`mailgw check`."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

from mailgw.develop.certificate import make_certificate
from tests.commands.files import CommandTest

SHIPPED = Path(__file__).parent.parent.parent / "etc"


class CheckTests(CommandTest):
    def add(self, text: str) -> None:
        self.configuration.write_text(self.configuration.read_text() + text)

    def test_nothing_wrong(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--no-password")
        self.assertEqual(self.run_command("check").stdout, f"{self.configuration}: no errors\n")

    def test_errors_of_every_file_at_once(self) -> None:
        self.write("aliases", "team@example.org: nobody@example.org\n")
        self.write("users", "alice@example.org:!\n")
        self.write("filters.toml", "[filters.gtub]\n[scores]\nX = 'y'\n")
        result = self.run_command("check", code=1)
        self.assertEqual(result.stdout, "")
        self.assertIn(
            f"{self.folder}/aliases:1: team@example.org: nobody@example.org is no mailbox here", result.stderr
        )
        self.assertIn(f"{self.folder}/filters.toml:3: scores.X: expected a number, got a string", result.stderr)

    def test_errors_of_the_main_file(self) -> None:
        self.add("[queu]\nretry = 5\n[limits]\nhops = 0\n")
        lines = self.run_command("check", code=1).stderr.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn(': queu: unknown key; did you mean "queue"?', lines[0])
        self.assertIn(": limits.hops: 0 is not above 0", lines[1])

    def test_a_configuration_that_is_not_there(self) -> None:
        result = self.run_command("check", "--config", "/nonexistent/mailgw.toml", code=1)
        self.assertEqual(result.stderr, "/nonexistent/mailgw.toml: the file does not exist\n")

    def test_the_messages_of_etc_are_judged(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--no-password")
        shutil.copytree(SHIPPED / "tests", self.folder / "tests")
        self.assertEqual(self.run_command("check").stdout, f"{self.configuration}: no errors\n")
        self.write("filters.toml", "[scores]\nGTUBE = 1\n")
        errors = self.run_command("check", code=1).stderr.splitlines()
        self.assertEqual(len(errors), 2, errors)
        self.assertIn(f"{self.folder}/tests/gtube.eml:10: expected verdict spam, got inbox: the score", errors[0])
        self.assertIn("known.eml:8: expected score > 15, got ", errors[1])

    def test_a_test_that_cannot_be_read(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--no-password")
        (self.folder / "tests").mkdir()
        self.write("tests/x.eml", "dns a.example MX mx\nexpect verdict spam\n---\nFrom: a@b.example\n\nx\n")
        self.assertIn("tests/x.eml:1: write an MX as PREFERENCE NAME", self.run_command("check", code=1).stderr)

    def test_keys_and_passwords(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--no-password")
        self.add(
            '[tls]\ncertificate_file = "a.pem"\nkey_file = "a.key"\n'
            '[routes.s]\nhosts = ["h.example"]\nusername = "u"\npassword_file = "p"\n'
        )
        errors = self.run_command("check", code=1).stderr
        self.assertIn(f"tls.certificate_file: cannot read {self.folder}/a.pem", errors)
        self.assertIn(f"routes.s.password_file: {self.folder}/p: the file does not exist", errors)
        certificate, key = make_certificate(["mail.example.org"], datetime.datetime.now(datetime.UTC))
        self.write("a.pem", certificate.decode())
        self.write("a.key", key.decode())
        self.write("p", "\n")
        self.assertIn("/p is empty", self.run_command("check", code=1).stderr)
        self.write("p", "secret\n")
        self.run_command("check")
        self.add('[relay]\nca_file = "ca.pem"\n')
        self.assertIn("/ca.pem: [relay] ca_file cannot be read", self.run_command("check", code=1).stderr)
        self.write("ca.pem", "nonsense")
        self.assertIn("/ca.pem: [relay] ca_file holds no PEM", self.run_command("check", code=1).stderr)
        self.write("ca.pem", 2 * certificate.decode())
        self.run_command("check")

    def test_programs_are_looked_at_and_not_run(self) -> None:
        self.run_command("user", "add", "alice@example.org", "--no-password")
        program = self.write("list", f"#!/bin/sh\ntouch {self.folder}/ran\necho joe\n")
        self.add(
            '[domains."routed.example"]\ndeliver = "route:store"\n'
            f'recipients_command = ["{program}", "--all"]\n[routes.store]\nhosts = ["h.example"]\n'
        )
        errors = self.run_command("check", code=1).stderr
        self.assertIn(f':12: domains."routed.example".recipients_command: "{program}" is not executable', errors)
        program.chmod(0o755)
        self.run_command("check")
        self.assertFalse((self.folder / "ran").exists())
        program.unlink()
        self.assertIn(f'there is no program "{program}"', self.run_command("check", code=1).stderr)
