"""Records of reports as text, as they stand in the state."""

from __future__ import annotations

import json

import attrs
import cattrs

from mailgw.reports.aggregate import Record


def facts_of(record: Record) -> str:
    """Write everything but the count, in one spelling: what came out alike is one row."""
    facts = attrs.asdict(record)
    del facts["count"]
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def record_of(facts: str, count: int) -> Record:
    return cattrs.structure({**json.loads(facts), "count": count}, Record)
