"""filters.toml: what evidence is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from mailgw.config.schema.setting import setting

RuleAction = Literal["reject", "defer", "discard", "hold", "greylist", "spam", "inbox"]


@frozen
class Thresholds:
    """Scores from which a verdict holds."""

    greylist: float = setting("Has to come again when it is not known yet (greylisting). Not below `spam`: never.", 4.0)
    spam: float = setting("To the spam folder.", 6.0)
    reject: float = setting("Refused with 554 in the session.", 15.0)
    outbound_hold: float = setting("For mail of our own users: held in quarantine, and its sender is told.", 6.0)
    outbound_reject: float = setting("Refused, for mail of our own users.", 12.0)
    never_reject: tuple[str, ...] = setting(
        "Symbols of mail that is never greylisted, nor refused for its score alone: it goes to the spam folder.",
        ("KNOWN_CORRESPONDENT", "REPLY_TO_OUR_MAIL"),
    )


@frozen
class Override:
    """What differs for mail to one recipient, or to a domain: [recipients."alice@example.org".thresholds], and the
    same with `scores` and `rules`. Each key stands by itself: what is not named is that of the recipient's domain, or
    else of the whole site. [users."bob@example.org"] and [users."example.org"] do so for mail that users submit."""

    thresholds: Mapping[str, float] = setting("As in [thresholds].", {})
    scores: Mapping[str, float] = setting("As in [scores].", {})
    rules: Mapping[str, RuleAction] = setting("As in [rules].", {})


@frozen
class Greylisting:
    """Mail whose score lies between the thresholds greylist and spam, from a sender who is not known yet, is told to
    come again: programs that only want to get rid of it do not."""

    enabled: bool = setting("Whether anybody is told so.", True)
    delay: float = setting("Seconds after which it may come.", 300.0)
    delay_proven: float = setting("The same where SPF, DKIM or DMARC proves who sends.", 60.0)
    window: float = setting("Seconds within which it has to come.", 172800.0)
    remembered: float = setting("Seconds for which a sender that came again is known.", 3110400.0)
    never: tuple[str, ...] = setting(
        "Symbols of mail that is not asked to come again.", ("DNSWL_LOW", "DNSWL_MEDIUM", "DNSWL_HIGH")
    )


@frozen
class Dmarc:
    """What DMARC must not be applied to: mail of lists and forwarders that change it, and sign it."""

    trusted_forwarders: tuple[str, ...] = setting(
        "DKIM domains (d=), each exactly. A message with a good signature of one of them that fails DMARC states"
        " DMARC_EXCEPTION instead of DMARC_FAIL_REJECT, DMARC_FAIL_QUARANTINE or DMARC_FAIL_NONE.",
        (),
    )
    trusted_sealers: tuple[str, ...] = setting(
        "Domains that seal with ARC (d= of ARC-Seal), each exactly. The same holds for a message with a valid chain"
        " whose newest seal is of one of them, unless that sealer says itself that DMARC fails and the seal before it"
        " is of none of them.",
        (),
    )


@frozen
class Combination:
    """What several symbols say together: a symbol of its own, which is stated when all of `all`, at least one of `any`
    (where it names some) and none of `none` are."""

    all: tuple[str, ...] = setting("Symbols that must all be there.", ())
    any: tuple[str, ...] = setting("Symbols of which one must be there.", ())
    none: tuple[str, ...] = setting("Symbols that must not be there.", ())
    score: float = setting("What it is worth. A key of its name in [scores] goes before.", 0.0, minimum=-1000)
    instead: tuple[str, ...] = setting(
        "Symbols of `all` and `any` that do not count themselves then: what they say is in this score.", ()
    )
    description: str = setting("What it means, in words for the verdict.", "")
    enabled: bool = setting("Whether it is looked at.", True)


DEFAULT_COMBINATIONS: Mapping[str, Combination] = {
    "OUR_DOMAIN_FAILS_DMARC": Combination(
        all=("FROM_DOMAIN_OF_OURS",),
        any=("DMARC_FAIL_REJECT", "DMARC_FAIL_QUARANTINE"),
        instead=("FROM_DOMAIN_OF_OURS",),
        description="our domain is pretended, which DMARC has said",
    ),
    "PERSON_OF_OURS_ANSWERS_ELSEWHERE": Combination(
        all=("FROM_PERSON_OF_OURS",),
        any=("REPLY_TO_OTHER_DOMAIN", "FREEMAIL_REPLY_TO_OTHER", "SPF_FAIL", "SPF_SOFTFAIL"),
        score=2.0,
        description="one of our people is pretended, and the sender is not who it seems",
    ),
    "PROGRAM_BEHIND_PASSWORD": Combination(
        all=("ATTACHMENT_ENCRYPTED",),
        any=("ATTACHMENT_FORBIDDEN", "ATTACHMENT_NESTED_ARCHIVE"),
        score=3.0,
        description="a program that no scanner can look into",
    ),
}
"""Those that hold without being set."""


@frozen
class FilterFile:
    """filters.toml: thresholds, hard rules, weights, what differs for some, exceptions to DMARC, combinations, and a
    section for each filter."""

    thresholds: Thresholds = field(factory=Thresholds)
    rules: Mapping[str, RuleAction] = setting("Symbols that decide by themselves, whatever the score.", {})
    scores: Mapping[str, float] = setting("Weights of symbols, where they differ from the defaults.", {})
    recipients: Mapping[str, Override] = setting("By recipient address or domain.", {})
    users: Mapping[str, Override] = setting("By user or domain, for mail that users submit.", {})
    greylisting: Greylisting = field(factory=Greylisting)
    dmarc: Dmarc = field(factory=Dmarc)
    combinations: Mapping[str, Combination] = setting(
        "Combinations by the symbol that they state; a section replaces the default of its name.", {}
    )
    filters: Mapping[str, Mapping[str, Any]] = setting("A section [filters.NAME] for each filter.", {})
