"""What is known about a message: authentication results (RFC 8601) and evidence."""

from __future__ import annotations

from attrs import field, frozen


@frozen
class AuthResult:
    """One method's result as RFC 8601 2.2 writes it.

    `properties` are pairs such as ("smtp.mailfrom", "a@example.org"); `reason` is in plain words; `comment` stands
    in parentheses behind the result: for iprev it is the name of the address.
    """

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    comment: str = ""


@frozen
class Evidence:
    """A fact, never a judgement: its weight stands in etc/filters.toml.

    `symbol` names the kind of fact (`SPF_FAIL`); `detail` says what was seen, for people; `strength` scales the
    weight (0.0 to 1.0 for a graded fact); `source` is the filter or the step that states it.
    """

    symbol: str
    detail: str = ""
    strength: float = 1.0
    source: str = field(default="")
    recipients: tuple[int, ...] = ()
    """Positions in the envelope of those whom it is about, where it is not about all."""
