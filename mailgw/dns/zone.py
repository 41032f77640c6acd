"""A resolver that asks nobody: it answers from records that somebody wrote down."""

from __future__ import annotations

import ipaddress
from typing import get_args

from mailgw.dns.interface import Answer, DnsFailure, MxRecord, Record, RecordType

_TTL = 300
_MAX_ALIASES = 8
_TYPES = tuple(kind for kind in get_args(RecordType) if kind != "TLSA")


class ZoneResolver:
    """Implements dns.interface.Resolver. A name without records does not exist."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, list[Record]]] = {}
        self._failing: set[str] = set()

    def add(self, text: str) -> None:
        """Take a line: `NAME TYPE VALUE`, or `NAME fail` for one whose servers do not answer. The name of a PTR may be
        the IP address. A TXT is in quotes or not; an MX is `PREFERENCE NAME`. Raises ValueError with what is wrong."""
        name, _, rest = text.strip().partition(" ")
        kind, _, value = rest.strip().partition(" ")
        kind, value = kind.upper(), value.strip()
        if kind == "FAIL" and not value:
            self._failing.add(_key(name))
            return
        if kind not in _TYPES or not value:
            raise ValueError(f"write NAME TYPE VALUE with a TYPE of {', '.join(_TYPES)}, or NAME fail")
        if kind == "PTR":
            try:
                name = ipaddress.ip_address(name).reverse_pointer
            except ValueError:
                pass
        self._records.setdefault(_key(name), {}).setdefault(kind, []).append(_record(kind, value))

    async def lookup(self, name: str, type: RecordType) -> Answer:
        key = _key(name)
        for _ in range(_MAX_ALIASES):
            if key in self._failing:
                raise DnsFailure(f"{type} {name}: the test lets it fail")
            kinds = self._records.get(key)
            if kinds is None:
                below = any(other.endswith(f".{key}") for other in self._records)
                return Answer(exists=below, ttl=_TTL)  # RFC 8020: with names below it, it exists
            if type not in kinds and "CNAME" in kinds:
                key = _key(str(kinds["CNAME"][0]))
                continue
            return Answer(tuple(kinds.get(type, ())), ttl=_TTL, alias_of=key if key != _key(name) else "")
        raise DnsFailure(f"{type} {name}: more than {_MAX_ALIASES} aliases")


def _key(name: str) -> str:
    return name.lower().rstrip(".")


def _record(kind: str, value: str) -> Record:
    if kind == "TXT":
        inner = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        return inner.encode()
    if kind == "MX":
        preference, _, exchange = value.partition(" ")
        if not preference.isdecimal() or not exchange.strip():
            raise ValueError("write an MX as PREFERENCE NAME")
        return MxRecord(int(preference), exchange.strip().rstrip("."))
    if kind in ("A", "AAAA"):
        return str(ipaddress.ip_address(value))
    return value.rstrip(".")
