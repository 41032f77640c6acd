"""filters.toml: what evidence is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from mailgw.config.schema.setting import setting


@frozen
class Thresholds:
    """Scores from which a verdict holds."""

    spam: float = setting("To the spam folder.", 6.0)
    reject: float = setting("Refused with 554 in the session.", 15.0)
    outbound_reject: float = setting("The same for mail of our own users.", 12.0)


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
class FilterFile:
    """filters.toml: thresholds, hard rules, weights, exceptions to DMARC, and a section for each filter."""

    thresholds: Thresholds = field(factory=Thresholds)
    rules: Mapping[str, Literal["reject", "defer", "discard", "spam", "inbox"]] = setting(
        "Symbols that decide by themselves, whatever the score.", {}
    )
    scores: Mapping[str, float] = setting("Weights of symbols, where they differ from the defaults.", {})
    dmarc: Dmarc = field(factory=Dmarc)
    filters: Mapping[str, Mapping[str, Any]] = setting("A section [filters.NAME] for each filter.", {})
