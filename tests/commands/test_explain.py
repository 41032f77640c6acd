"""`mailgw explain`, as a program: the reactor runs once in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import mailgw

ROOT = Path(mailgw.__file__).parent.parent
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
CONFIG = """
hostname = "mail.example.test"
[domains."example.test"]
[listeners.mx]
addresses = ["127.0.0.1:0"]
tls = "none"
[dns]
servers = ["127.0.0.1:9"]
timeout = 0.2
"""


class ExplainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.etc = Path(self.mktemp()).absolute()
        self.etc.mkdir()
        (self.etc / "mailgw.toml").write_text(CONFIG)
        for name, text in (
            ("filters.toml", ""),
            ("rules.toml", ""),
            ("aliases", "postmaster: a@b.test\n"),
            ("users", ""),
        ):
            (self.etc / name).write_text(text)
        self.message = self.etc / "message.eml"
        self.message.write_text(f"From: a@sender.test\nSubject: x\n\n{GTUBE}\n")

    def explain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mailgw.commands.main", "--config", str(self.etc / "mailgw.toml"), "explain"]
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=self.etc,
        )

    def test_each_line_with_its_weight_and_the_running_sum(self) -> None:
        result = self.explain("--mail-from", "a@sender.test", str(self.message))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("verdict  spam", result.stdout)
        (line,) = [line.split() for line in result.stdout.splitlines() if line.startswith("GTUBE")]
        self.assertEqual(line[1:4], ["10.00", "1.00", "10.00"])
        self.assertIn("without GTUBE the verdict would have been inbox", result.stdout)

    def test_json_adds_up(self) -> None:
        data = json.loads(self.explain("--json", str(self.message)).stdout)
        self.assertEqual(data["action"], "spam")
        self.assertAlmostEqual(sum(line["points"] for line in data["lines"]), data["score"], places=2)
        self.assertIn("MISSING_DATE", [line["symbol"] for line in data["lines"]])
        self.assertEqual({result["method"] for result in data["auth"]}, {"iprev", "spf", "dkim", "arc", "dmarc"})

    def test_mail_of_a_user_has_no_sender_authentication(self) -> None:
        data = json.loads(self.explain("--json", "--user", "alice@example.test", str(self.message)).stdout)
        self.assertEqual(data["auth"], [])
        self.assertIn("outbound_reject", data["thresholds"])

    def test_what_is_wrong_is_said(self) -> None:
        self.assertIn("is not an IP address", self.explain("--client-ip", "nonsense", str(self.message)).stderr)
        self.assertIn("no domain", self.explain("--mail-from", "nonsense", str(self.message)).stderr)
        (self.etc / "filters.toml").write_text("[filters.gtub]\n")
        result = self.explain(str(self.message))
        self.assertEqual(result.returncode, 1)
        self.assertIn("filters.toml", result.stderr)
        self.assertNotIn("Traceback", result.stderr)
