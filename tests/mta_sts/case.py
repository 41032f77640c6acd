"""Doubles: a store in memory, and a web server that is a function."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from mailgw.mail.reply import TemporaryFailure
from mailgw.mta_sts.store import Kept

POLICY = b"version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 604800\n"


class MemoryStore:
    """A PolicyStore. `broken`: the file cannot be read; `full`: it cannot be written."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.used: dict[str, float] = {}
        self.broken = self.full = False

    async def get(self, domain: str) -> Kept | None:
        self._fail()
        return self.kept.get(domain)

    async def put(self, kept: Kept) -> None:
        self._fail(self.full)
        self.kept[kept.domain] = kept
        self.used.setdefault(kept.domain, kept.fetched)

    def note_used(self, domain: str, now: float) -> None:
        self.used[domain] = now

    async def due(self, fetched_before: float, used_after: float, limit: int) -> list[Kept]:
        self._fail()
        found = [kept for kept in self.kept.values() if kept.fetched < fetched_before]
        return [kept for kept in found if self.used[kept.domain] > used_after][:limit]

    def _fail(self, full: bool = False) -> None:
        if self.broken or full:
            raise TemporaryFailure("mta-sts.db: disk full")


class Web:
    """A Fetch that gives `answer`, raises it when it is an exception, and waits when it is None: see `give`."""

    def __init__(self, answer: bytes | Exception | None = POLICY) -> None:
        self.answer = answer
        self.urls: list[str] = []
        self.waiting: list[Deferred[bytes]] = []

    async def __call__(self, url: str) -> bytes:
        self.urls.append(url)
        answer = self.answer
        if answer is None:
            waiting: Deferred[bytes] = Deferred()
            self.waiting.append(waiting)
            return await waiting
        if isinstance(answer, Exception):
            raise answer
        return answer

    def give(self, answer: bytes = POLICY) -> None:
        self.waiting.pop(0).callback(answer)
