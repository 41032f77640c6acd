"""Each ARC suite of ValiMail's shape (`arc/*validation*.yml`) through a running gateway. Prints how many cases hold."""

from __future__ import annotations

from tests.conformance.gateway import Letter, Outcome, SuiteTestCase
from tests.conformance.suites import SUITES, scenarios, skip_reason
from tests.conformance.test_arc_suite import content_of, expected

PATTERN = "arc/*validation*.yml"


class ArcGatewayTests(SuiteTestCase):
    skip = skip_reason(PATTERN)

    async def test_suites(self) -> None:
        await self.begin()
        problems = []
        for path in sorted(SUITES.glob(PATTERN)):
            wrong, total = [], 0
            for scenario in scenarios(path):
                records = scenario.get("txt-records") or {}
                self.serve({name.rstrip(".").lower(): {"TXT": [record]} for name, record in records.items()})
                cases = scenario["tests"]
                letters = [Letter(name, content=content_of(case["message"])) for name, case in cases.items()]
                outcomes = await self.deliver(letters)
                for name, outcome in zip(cases, outcomes, strict=True):
                    total += 1
                    if self.result(outcome) != expected(cases[name]["cv"]):
                        wrong.append(f"{scenario['description'].strip()}: {name}: {outcome}")
            print(f"\n    ARC: {total - len(wrong)} of {total} cases of {path.name} hold through the gateway")
            problems += wrong
        self.assertEqual("\n".join(problems), "")

    @staticmethod
    def result(outcome: Outcome) -> str:
        found = outcome.of("arc")
        return found[0].result if len(found) == 1 else outcome.refused or "no result"
