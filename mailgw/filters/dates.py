"""Dates of RFC 5322 3.3, the usual form fast, all others by the standard library. Never raises."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import mktime_tz, parsedate_tz

MAX_DATE = 100

_USUAL = re.compile(
    r"(?:[A-Za-z]{3}, )?([0-9]{1,2}) ([A-Za-z]{3}) ([0-9]{4}) ([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?"
    r" (?:([+-])([0-9]{2})([0-9]{2})|GMT|UTC?)(?: \([^()]*\))?"
)
_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: number for number, name in enumerate(_NAMES.split(), 1)}


def parse_date(text: str) -> float | None:
    """Give the wall clock in seconds, or None when it is no date."""
    match = _USUAL.fullmatch(text)
    if match is None:
        return _parse_obsolete(text)
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    zone = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    try:
        # RFC 5322 3.3 allows for a leap second; datetime does not.
        moment = datetime(
            int(year),
            _MONTHS.get(month.lower(), 0),
            int(day),
            int(hour),
            int(minute),
            min(int(second or 0), 59),
            tzinfo=timezone(-zone if sign == "-" else zone) if zone else UTC,
        )
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _parse_obsolete(text: str) -> float | None:
    """Read the forms of RFC 5322 4.3, and what else is about."""
    if not text or len(text) > MAX_DATE:
        return None
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else float(mktime_tz(parsed))
    except Exception:  # it raises several kinds on what is no date
        return None
