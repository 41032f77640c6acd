"""The history of messages, where it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen

from mailgw.config.schema import Settings
from mailgw.history.recorder import Recorder
from mailgw.history.tables import FILE, MIGRATIONS
from mailgw.operation.service import Part
from mailgw.state.database import Database


@frozen
class History:
    """The recorder, None where no history is kept, and the parts to start before mail comes."""

    recorder: Recorder | None = None
    parts: tuple[Part, ...] = ()


def make_history(settings: Settings, reactor: Any) -> History:
    """Make it as the configuration asks."""
    if not settings.history.enabled:
        return History()
    database = Database(Path(settings.state_directory) / FILE, MIGRATIONS, reactor)
    recorder = Recorder(database, settings.history, reactor)
    return History(
        recorder, (Part("history", database.open, database.close), Part("recorder", recorder.start, recorder.stop))
    )
