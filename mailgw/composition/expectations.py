"""The expectation tests of a configuration, tried: by `mailgw check`, and before a reload takes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from mailgw.composition.etc import Etc
from mailgw.composition.judging import make_judge
from mailgw.config.errors import ConfigError
from mailgw.dns.zone import ZoneResolver
from mailgw.operation.threads import ThreadsInline
from mailgw.verdict.expectation import Case, failures, read_case
from mailgw.verdict.judgement import Judged, for_one_reply
from mailgw.verdict.policies import Policies
from mailgw.verdict.policy import decide

SUFFIX = ".eml"


def try_expectations(etc: Etc) -> list[ConfigError]:
    """Judge each file of the tests' folder by this configuration; give what does not come out as it is expected.

    Blocks while it computes. It asks no DNS and no other program: filters that do are left out.
    """
    folder = Path(etc.settings.tests_directory)
    if not folder.is_dir():
        return []
    found: list[ConfigError] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            data = path.read_bytes()
        except OSError as error:
            found.append(ConfigError(str(path), "", f"cannot be read: {error.strerror}"))
            continue
        found += try_case(etc, read_case(str(path), data))
    return found


def try_case(etc: Etc, case: Case) -> list[ConfigError]:
    """Judge one; give what is wrong with it, or does not come out as it is expected."""
    resolver = ZoneResolver()
    for line, text in case.dns:
        try:
            resolver.add(text)
        except ValueError as error:
            case.wrong(line, str(error))
    if case.errors:
        return case.errors
    judged = _judge(etc, case, resolver)
    if isinstance(judged, str):
        return [ConfigError(case.file, "", judged)]
    return failures(case, for_one_reply(judged))


def _judge(etc: Etc, case: Case, resolver: ZoneResolver) -> Sequence[Judged] | str:
    transaction = case.transaction()
    transaction.evidence.extend(case.evidence)
    if case.message is None:
        return _by_policy(etc, case)
    clock = Clock()
    clock.advance(case.now or 0.0)
    # Nothing may stop it for long: no filter that asks other programs, and each of its own has its time.
    judge = make_judge(etc, resolver, clock, ThreadsInline(), offline=True, authenticate=not case.evidence)
    results: list[Sequence[Judged] | Failure] = []
    Deferred.fromCoroutine(judge.judge(transaction)).addBoth(results.append)
    if not results:
        return "a filter waits for something outside, which no test may"
    (result,) = results
    return f"it cannot be judged: {result.value}" if isinstance(result, Failure) else result


def _by_policy(etc: Etc, case: Case) -> Sequence[Judged]:
    policies = Policies.of(etc.filter_file, etc.catalogue.weights, etc.catalogue.combinations)
    numbers = tuple(range(len(case.recipients)))
    identity = case.client.identity
    groups = (
        [(policies.of_user(identity), numbers)]
        if identity
        else policies.groups([[mailbox] for mailbox in case.recipients])
    )
    return [
        Judged(decide(case.evidence, policy, outbound=bool(identity), reference="TEST"), who, policy)
        for policy, who in groups
    ]
