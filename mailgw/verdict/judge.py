"""The judge: has the sender authenticated and the filters run, and gets the verdict, within a time limit."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, Protocol

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mailgw.filters.runner import RunResult
from mailgw.filters.waiting import Finished, TimeLimit, limited, start
from mailgw.mail.address import Mailbox
from mailgw.mail.dmarc import DmarcEvaluation
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.message import Message
from mailgw.mail.reply import TemporaryFailure
from mailgw.mail.transaction import Client, Transaction
from mailgw.verdict.concerned import concerning, divide
from mailgw.verdict.greylisting import Greylist, GreylistAnswer
from mailgw.verdict.judgement import Judged
from mailgw.verdict.policies import Owners, Policies
from mailgw.verdict.policy import GREYLIST_PASSED, GREYLIST_WAIT, Policy, decide
from mailgw.verdict.replies import make_reply

# Somebody else may hold the file. Who knows when it is free: mail does not wait for that.
_GREYLIST_LIMIT = 2.0


class Findings(Protocol):
    """What a check of sender authentication gives (`senderauth.results.Findings`)."""

    @property
    def auth(self) -> Sequence[AuthResult]: ...
    @property
    def evidence(self) -> Sequence[Evidence]: ...
    @property
    def sealer(self) -> str: ...
    @property
    def dmarc(self) -> Sequence[DmarcEvaluation]: ...


class Authenticator(Protocol):
    """Sender authentication as the judge sees it. Its methods raise nothing."""

    async def iprev(self, client: Client) -> Findings: ...
    async def helo(self, client: Client) -> Findings: ...
    async def spf(self, client: Client, reverse_path: Mailbox | None) -> Findings: ...
    async def dkim(self, message: Message) -> Findings: ...
    async def arc(self, message: Message, client: Client) -> Findings: ...
    async def dmarc(self, message: Message, auth: Sequence[AuthResult], sealers: Sequence[str]) -> Findings: ...


@frozen
class _NothingFound:
    auth: tuple[AuthResult, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    sealer: str = ""
    dmarc: tuple[DmarcEvaluation, ...] = ()


class NoAuthenticator:
    """Says nothing about the sender: for messages about which that is known already."""

    async def iprev(self, client: Client) -> Findings:
        return _NothingFound()

    async def helo(self, client: Client) -> Findings:
        return _NothingFound()

    async def spf(self, client: Client, reverse_path: Mailbox | None) -> Findings:
        return _NothingFound()

    async def dkim(self, message: Message) -> Findings:
        return _NothingFound()

    async def arc(self, message: Message, client: Client) -> Findings:
        return _NothingFound()

    async def dmarc(self, message: Message, auth: Sequence[AuthResult], sealers: Sequence[str]) -> Findings:
        return _NothingFound()


class Runner(Protocol):
    """`filters.runner.FilterRunner`."""

    async def run(self, transaction: Transaction) -> RunResult: ...


Check = Finished[Findings] | Deferred[Findings]


class Early:
    """Checks that were started before the message was there, so that their DNS latency is hidden (design 5).

    Whoever holds it hands it to `Judge.judge` or cancels it.
    """

    def __init__(self) -> None:
        self._checks: list[Check] = []

    def start(self, coroutine: Coroutine[Deferred[Any], Any, Findings]) -> None:
        """Start one check more."""
        self._checks.append(start(coroutine))

    async def gather(self, transaction: Transaction) -> list[str]:
        """Wait for each check in turn, and append what it found to the transaction. Give the trusted sealers (ARC)."""
        sealers = []
        for check in self._checks:
            findings = check.value if isinstance(check, Finished) else await check
            _append(findings, transaction)
            if findings.sealer:
                sealers.append(findings.sealer)
        return sealers

    def cancel(self) -> None:
        """The transaction ended without a message, or its time is over. Does nothing to checks that have ended."""
        for check in self._checks:
            if isinstance(check, Deferred):
                check.addErrback(_ignore_cancelled)
                check.cancel()
        self._checks.clear()


def _append(findings: Findings, transaction: Transaction) -> None:
    transaction.auth.extend(findings.auth)
    transaction.evidence.extend(findings.evidence)
    transaction.dmarc.extend(findings.dmarc)


def _ignore_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


class Judge:
    """Judges transactions. It outlives them and keeps nothing about them."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        authenticator: Authenticator,
        runner: Runner,
        policies: Policies,
        greylist: Greylist,
        clock: IReactorTime,
        time_limit: float,
    ) -> None:
        """`time_limit` is for all checks of one message, in seconds."""
        self._authenticator = authenticator
        self._runner = runner
        self._policies = policies
        self._greylist = greylist
        self._clock = clock
        self._time_limit = time_limit

    def become(self, other: Judge) -> None:
        """Judge as another does, from now on: for a configuration that was read again. Messages under way end by the
        new policy, with the evidence that they have."""
        self._authenticator = other._authenticator
        self._runner = other._runner
        self._policies = other._policies
        self._greylist = other._greylist
        self._time_limit = other._time_limit

    def begin(self, client: Client, reverse_path: Mailbox | None) -> Early | None:
        """Start what needs no message. None for an authenticated user: whom we know needs no sender authentication,
        and a client's home network would fail it."""
        if client.identity:
            return None
        early = Early()
        if client.service == "lmtp":
            # The client is a server of ours that passes mail on, so its address says nothing: signatures still do.
            return early
        early.start(self._authenticator.iprev(client))
        early.start(self._authenticator.helo(client))
        early.start(self._authenticator.spf(client, reverse_path))
        return early

    async def judge(
        self, transaction: Transaction, early: Early | None = None, owners: Sequence[Owners] = ()
    ) -> Sequence[Judged]:
        """Append authentication results and evidence to the transaction, and give the verdict for each group of its
        recipients that has a policy or evidence of its own, which is one where nobody has. `owners` are the addresses
        that each recipient of the envelope goes by; without them it is the envelope's.

        When the checks take longer than the time limit, the verdict is defer, with the evidence that came in time.
        """
        if early is None:
            early = self.begin(transaction.client, transaction.envelope.reverse_path)
        defer = ""
        try:
            checked = start(self._check(transaction, early))
            if isinstance(checked, Finished):
                result = checked.value
            else:
                result = await limited(checked, self._time_limit, self._clock)
            if result.deferring:
                defer = f'failed, and set to on_error = "defer": {", ".join(result.deferring)}'
        except TimeLimit:
            defer = f"the checks took longer than {self._time_limit:g} s"
            self._log_late(transaction)
        finally:
            if early is not None:
                early.cancel()
        recipients = transaction.envelope.recipients
        if transaction.client.identity:
            group = (self._policies.of_user(transaction.client.identity), tuple(range(len(recipients))))
            return [await self._decide(transaction, *group, defer)]
        groups = self._policies.groups(owners or [[recipient.forward_path] for recipient in recipients])
        groups = divide(groups, transaction.evidence)
        judged = [await self._decide(transaction, policy, numbers, defer) for policy, numbers in groups]
        if owners:
            judged = [evolve(one, owners=[owners[number] for number in one.recipients]) for one in judged]
        return judged

    async def _decide(self, transaction: Transaction, policy: Policy, numbers: tuple[int, ...], defer: str) -> Judged:
        outbound = bool(transaction.client.identity)
        known = concerning(transaction.evidence, numbers)
        verdict = decide(known, policy, outbound=outbound, reference=transaction.id, defer=defer)
        if verdict.action != "greylist":
            return Judged(verdict, numbers, policy)
        answer = await self._ask_greylist(transaction, numbers)
        evidence = Evidence(GREYLIST_WAIT if answer.wait else GREYLIST_PASSED, answer.detail, source="greylist")
        verdict = decide([*known, evidence], policy, outbound=outbound, reference=transaction.id, defer=defer)
        if answer.wait:
            verdict = evolve(verdict, reply=make_reply("greylist", transaction.id, wait=answer.wait))
        return Judged(verdict, numbers, policy, (evidence,))

    async def _ask_greylist(self, transaction: Transaction, numbers: Sequence[int]) -> GreylistAnswer:
        recipients = transaction.envelope.recipients
        try:
            asked = start(self._greylist.ask(transaction, [recipients[number] for number in numbers]))
            if isinstance(asked, Finished):
                return asked.value
            return await limited(asked, _GREYLIST_LIMIT, self._clock)
        except TemporaryFailure as failure:
            return GreylistAnswer(detail=f"it is not known: {failure.cause}")
        except TimeLimit:
            return GreylistAnswer(detail=f"it is not known within {_GREYLIST_LIMIT:g} s")

    async def _check(self, transaction: Transaction, early: Early | None) -> RunResult:
        if early is not None:
            message = transaction.message
            if message is not None:
                early.start(self._authenticator.dkim(message))
                early.start(self._authenticator.arc(message, transaction.client))
            sealers = await early.gather(transaction)
            # Without SPF, which a server of ours has seen pass or fail before it came by LMTP, many would fail DMARC.
            if message is not None and transaction.client.service != "lmtp":
                _append(await self._authenticator.dmarc(message, transaction.auth, sealers), transaction)
        return await self._runner.run(transaction)

    def _log_late(self, transaction: Transaction) -> None:
        self.log.warn(
            "checks of {transaction} took longer than {seconds} s",
            event="checks_timeout",
            seconds=self._time_limit,
            transaction=transaction.id,
            session=transaction.client.session_id,
        )
