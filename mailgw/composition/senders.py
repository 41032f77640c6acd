"""What is remembered of senders: who came before, and whom our people write to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from mailgw.composition.etc import Etc
from mailgw.filters import correspondence
from mailgw.filters.correspondence import StateCorrespondence
from mailgw.mail.transaction import Transaction
from mailgw.mail.verdict import Verdict
from mailgw.operation.service import Part
from mailgw.state.database import Database
from mailgw.verdict import greylist
from mailgw.verdict.greylist import StateGreylist

# The versions of the file: what comes later is appended.
_TABLES = (*greylist.TABLES, *correspondence.TABLES)


@frozen
class Senders:
    """What the judge asks, and what is told of each verdict."""

    greylist: StateGreylist
    correspondence: StateCorrespondence
    part: Part

    def observe(self, transaction: Transaction, verdict: Verdict) -> None:
        """Remember whom a user of ours wrote to; not of mail that was refused or held: its account may be stolen."""
        if verdict.action == "inbox":
            self.correspondence.note(transaction)


def make_senders(etc: Etc, reactor: Any) -> Senders:
    database = Database(Path(etc.settings.state_directory) / "senders.db", _TABLES, reactor)
    return Senders(
        StateGreylist(etc.filter_file.greylisting, database, reactor),
        StateCorrespondence(database, reactor),
        Part("senders", database.open, database.close),
    )
