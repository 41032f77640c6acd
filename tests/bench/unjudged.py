"""Runs `twistd` with a gateway that judges nothing: what queue and relay cost alone. For the benchmark only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.scripts import twistd

from mailgw.composition import gateway, judging
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policy import Policy

_INBOX = Verdict("inbox", 0.0, (), "not judged")
_POLICY = Policy({})


class NoJudge:
    """Stands in for `verdict.judge.Judge`."""

    def begin(self, *_: Any) -> None:
        return None

    async def judge(self, transaction: Transaction, early: Any = None, owners: Any = ()) -> Sequence[Judged]:
        return [Judged(_INBOX, tuple(range(len(transaction.envelope.recipients))), _POLICY)]


def main() -> None:
    judging.make_judge = lambda *_: NoJudge()  # type: ignore[assignment,return-value]
    gateway.TWISTD = ("-m", "tests.bench.unjudged")  # for the workers too
    twistd.run()


if __name__ == "__main__":
    main()
