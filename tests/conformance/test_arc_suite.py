"""The ARC suite of ValiMail: 171 cases of chain validation. Prints how many hold."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import Message
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.arc import Arc, ArcResult
from tests.conformance.suites import SUITES, scenarios, skip_reason
from tests.fakes import FakeResolver

NAME = "arc/arc-draft-validation-tests.yml"
NOW = 1480000000.0


def content_of(message: str) -> bytes:
    """Give a message of the suite as it is on the wire."""
    return message.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def expected(cv: object) -> str:
    """The suite was written for a draft. Where a seal has cv=fail it states no result; RFC 8617 5.2 does."""
    return str(cv).strip().lower() or "fail"


class ArcSuiteTests(SynchronousTestCase):
    skip = skip_reason(NAME)

    def validate(self, message: str, records: dict[str, str]) -> ArcResult:
        resolver = FakeResolver({name: {"TXT": [record]} for name, record in records.items()})
        validation = Arc(resolver, ThreadsInline(), lambda: NOW).validate(Message.from_bytes(content_of(message)))
        return self.successResultOf(Deferred.fromCoroutine(validation))

    def test_suite(self) -> None:
        total = 0
        wrong = []
        for scenario in scenarios(SUITES / NAME):
            for name, case in scenario["tests"].items():
                total += 1
                outcome = self.validate(case["message"], scenario.get("txt-records") or {})
                if outcome.result != expected(case["cv"]):
                    wrong.append(f"{scenario['description'].strip()}: {name}: {outcome} is not {expected(case['cv'])}")
        print(f"\n    ARC: {total - len(wrong)} of {total} cases of the ARC suite hold")
        if wrong:
            self.fail("\n".join(wrong))
        self.assertEqual(total, 171)
