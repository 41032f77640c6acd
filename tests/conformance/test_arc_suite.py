"""The ARC suite of ValiMail: 171 cases of chain validation. Prints how many hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import Message
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.arc import Arc, ArcResult
from tests.fakes import FakeResolver

SUITES = Path(os.environ.get("MAILGW_SUITES", Path(__file__).parents[2] / ".." / "shared" / "suites"))
FILE = SUITES / "arc" / "arc-draft-validation-tests.yml"
NOW = 1480000000.0

try:
    import yaml
except ImportError:
    yaml = None  # type: ignore[assignment]  # the tests are skipped then


def load(path: Path) -> list[dict[str, Any]]:
    """Give the scenarios: each has `description`, `tests` (name -> message, cv) and `txt-records` (name -> record)."""
    with path.open(encoding="utf-8") as file:
        return [scenario for scenario in yaml.safe_load_all(file) if scenario]


class ArcSuiteTests(SynchronousTestCase):
    if yaml is None:
        skip = "PyYAML is not installed"
    elif not FILE.exists():
        skip = f"the ARC suite is not there: {FILE}"

    def validate(self, message: str, records: dict[str, str]) -> ArcResult:
        resolver = FakeResolver({name: {"TXT": [record]} for name, record in records.items()})
        content = message.replace("\r\n", "\n").replace("\n", "\r\n").encode()
        validation = Arc(resolver, ThreadsInline(), lambda: NOW).validate(Message.from_bytes(content))
        return self.successResultOf(Deferred.fromCoroutine(validation))

    def test_suite(self) -> None:
        total = 0
        wrong = []
        for scenario in load(FILE):
            for name, case in scenario["tests"].items():
                total += 1
                outcome = self.validate(case["message"], scenario.get("txt-records") or {})
                # The suite was written for a draft. Where a seal has cv=fail it states no result; RFC 8617 5.2 does.
                expected = str(case["cv"]).strip().lower() or "fail"
                if outcome.result != expected:
                    wrong.append(f"{scenario['description'].strip()}: {name}: {outcome} is not {expected}")
        print(f"\n    ARC: {total - len(wrong)} of {total} cases of the ARC suite hold")
        if wrong:
            self.fail("\n".join(wrong))
        self.assertEqual(total, 171)
