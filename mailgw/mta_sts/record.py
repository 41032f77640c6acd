"""The record by which a domain says that it has a policy, and which (RFC 8461 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(rb"v=STSv1[ \t]*(?:;|\Z)")
_FIELD = rb"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[!-:<>-~]+"
_RECORD = re.compile(rb"v=STSv1((?:[ \t]*;[ \t]*" + _FIELD + rb")+)[ \t]*(?:;[ \t]*)?")
_ID = re.compile(rb";[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?=;|\Z)")


class RecordError(Exception):
    """There are records, and they cannot be used; the text says why."""


def record_name(domain: str) -> str:
    """Where the record stands."""
    return f"_mta-sts.{domain}"


def policy_url(domain: str) -> str:
    """Where the policy stands (RFC 8461 3.3)."""
    return f"https://mta-sts.{domain}/.well-known/mta-sts.txt"


def records_of(texts: Iterable[bytes]) -> list[bytes]:
    """Give those TXT records that are for MTA-STS."""
    return [text for text in texts if _VERSION.match(text)]


def policy_id(texts: Iterable[bytes]) -> str:
    """Give the id of the policy that a name's TXT records announce; empty when there is none. Raises RecordError."""
    records = records_of(texts)
    if not records:
        return ""
    if len(records) > 1:
        raise RecordError(f"there are {len(records)} records")
    record = _RECORD.fullmatch(records[0])
    if record is None:
        raise RecordError("it is not written as RFC 8461 3.1 has it")
    found = _ID.search(record[1])
    if found is None:
        raise RecordError("it has no id of 1 to 32 letters and digits")
    return found[1].decode("ascii")
