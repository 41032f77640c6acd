"""The DKIM examples (`dkim/00*.txt`) through a running gateway. Prints how many signatures have the right result."""

from __future__ import annotations

import re

from tests.conformance.gateway import Letter, SuiteTestCase
from tests.conformance.suites import SUITES, skip_reason
from tests.conformance.test_dkim_examples import PATTERN, load

_EXPIRES = re.compile(rb"\bx=\d+")


class DkimGatewayTests(SuiteTestCase):
    skip = skip_reason(PATTERN)

    async def test_examples(self) -> None:
        """The gateway has the clock of today: a signature with x= has expired, which is its result."""
        await self.begin()
        total, wrong = 0, []
        for path in sorted(SUITES.glob(PATTERN)):
            zone, content = load(path)
            self.serve(zone)
            (outcome,) = await self.deliver([Letter(path.name, content=content)])
            expired = len(_EXPIRES.findall(content))
            found = outcome.of("dkim")
            signatures = len(re.findall(rb"(?mi)^DKIM-Signature:", content))
            total += signatures
            results = sorted(result.result if result.result != "policy" else result.reason for result in found)
            right = sorted(["pass"] * (signatures - expired) + ["the signature has expired"] * expired)
            if results != right:
                wrong.append(f"{path.name}: {outcome} is not {right}")
        print(f"\n    DKIM: {total} signatures through the gateway, {len(wrong)} messages with a wrong result")
        self.assertEqual("\n".join(wrong), "")
