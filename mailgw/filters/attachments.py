"""Attachments: what they are, whatever they are called, and what is in them as far as that can be listed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from attrs import field, frozen

from mailgw.filters.anatomy import Anatomies, Anatomy, opened
from mailgw.filters.archives import list_archive, list_nested
from mailgw.filters.base import FilterSettings
from mailgw.filters.file_names import RUNNABLE, extension, hides_characters, is_disguised, pretended_extension
from mailgw.filters.listing import Listing
from mailgw.filters.magic import ARCHIVES, PROGRAMS
from mailgw.filters.mime import Octets, Part
from mailgw.filters.text import show
from mailgw.mail.evidence import Evidence
from mailgw.mail.message import Content
from mailgw.mail.transaction import Transaction

_LOOKED_INTO = frozenset(("zip", "rar", "7z", "gz", "bz2", "xz", "tar", "ole", "pdf"))
_ARCHIVE_ENDINGS = ARCHIVES | {"tgz", "tbz", "txz", "lha"}
_MACRO_ENDINGS = frozenset(["docm", "dotm", "xlsm", "xltm", "xlam", "pptm", "potm", "ppam", "ppsm", "sldm"])
# Streams of a compound file, whose directory holds their names in UTF-16 (MS-CFB 2.6.4).
_VBA = "_VBA_PROJECT".encode("utf-16-le")
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_PDF_SCRIPT = re.compile(rb"/(?:J|#4[aA])(?:S|avaScript|#53)[\s(<\[/]")
_PDF_STARTS = re.compile(rb"/(?:OpenAction|AA|Launch)[\s(<\[/]")
_HTML_SCRIPT = re.compile(rb"<script|<form|\bon(?:load|error|click)\s*=|javascript:", re.IGNORECASE)


@frozen
class AttachmentsSettings(FilterSettings):
    forbidden: tuple[str, ...] = field(
        default=tuple(RUNNABLE.split()),
        metadata={"doc": "Extensions of files, also of those in archives, that state ATTACHMENT_FORBIDDEN."},
    )
    forbidden_types: tuple[str, ...] = field(
        default=("application/x-msdownload", "application/x-dosexec", "application/hta"),
        metadata={
            "doc": "The same for types: as declared (`application/x-msdownload`, `audio/*`), or found by content"
            " (`exe`, `lnk`, `7z`, ...)."
        },
    )
    allowed: tuple[str, ...] = field(
        default=(), metadata={"doc": "Extensions that are never forbidden, such as `url` or `one`."}
    )
    only_allowed: bool = field(
        default=False, metadata={"doc": "Whether every other extension than those of `allowed` is forbidden."}
    )
    largest: int = field(
        default=25 * 1024 * 1024,
        metadata={"doc": "Octets of a file up to which archives are listed, and documents looked into.", "minimum": 0},
    )


class Attachments:
    """States what attached files are, by their content and by their names; archives are listed, never unpacked.

    What a site does not want at all, it refuses by a hard rule: `[rules] ATTACHMENT_EXECUTABLE = "reject"`.
    """

    name: ClassVar[str] = "attachments"
    symbols: ClassVar[Mapping[str, float]] = {
        "ATTACHMENT_EXECUTABLE": 5.0,
        "ATTACHMENT_FORBIDDEN": 4.0,
        "ATTACHMENT_DOUBLE_EXTENSION": 4.0,
        "ATTACHMENT_DISGUISED": 3.0,
        "ATTACHMENT_HIDDEN_NAME": 5.0,
        "ATTACHMENT_ENCRYPTED": 2.0,
        "ATTACHMENT_NESTED_ARCHIVE": 3.0,
        "ATTACHMENT_BOMB": 5.0,
        "ATTACHMENT_NOT_LISTED": 0.5,
        "ATTACHMENT_MACROS": 1.5,
        "ATTACHMENT_PDF_SCRIPT": 1.0,
        "ATTACHMENT_HTML": 1.0,
    }

    def __init__(self, settings: AttachmentsSettings, anatomies: Anatomies) -> None:
        self.settings = settings
        self._anatomies = anatomies
        self._forbidden = frozenset(e.lower().lstrip(".") for e in settings.forbidden)
        self._allowed = frozenset(e.lower().lstrip(".") for e in settings.allowed)
        self._types = frozenset(t.lower() for t in settings.forbidden_types)

    async def check(self, transaction: Transaction) -> list[Evidence]:
        message = transaction.message
        anatomy = await self._anatomies.of(transaction)
        if message is None or not any(_is_attached(part) for part in anatomy.parts):
            return []
        return await self._anatomies.run(transaction, self._check, message.content)

    def _check(self, anatomy: Anatomy, content: Content) -> list[Evidence]:
        with opened(content) as data:
            return [e for part in anatomy.parts if _is_attached(part) for e in self._check_part(part, data)]

    def _check_part(self, part: Part, data: Octets) -> Iterator[Evidence]:
        name = part.filename
        shown = show(name) if name else f"a part of type {show(part.content_type)}"
        if part.kind in PROGRAMS:
            yield Evidence("ATTACHMENT_EXECUTABLE", f"{shown} is a program by its content ({part.kind})")
        if is_disguised(part.kind, name, part.content_type):
            yield Evidence("ATTACHMENT_DISGUISED", f"{shown} is {part.kind} by its content")
        types = {part.kind, part.content_type, f"{part.content_type.partition('/')[0]}/*"} - {""}
        if found := sorted(types & self._types):
            yield Evidence("ATTACHMENT_FORBIDDEN", f"{shown} is of the type {found[0]}")
        yield from self._check_name(name, shown)
        if part.kind == "html" or extension(name) in ("htm", "html", "shtml", "xhtml", "svg"):
            yield from _check_html(part, data, shown)
        if part.kind in _LOOKED_INTO:
            yield from self._look_into(part, data, shown)
        elif part.kind in ARCHIVES:
            yield Evidence("ATTACHMENT_NOT_LISTED", f"{shown}: archives of the kind {part.kind} are not listed")

    def _check_name(self, name: str, shown: str) -> Iterator[Evidence]:
        ending = extension(name)
        if self._is_forbidden(ending):
            yield Evidence("ATTACHMENT_FORBIDDEN", f"{shown} has the extension .{ending[:20]}")
            if pretended := pretended_extension(name):
                yield Evidence("ATTACHMENT_DOUBLE_EXTENSION", f"{shown} pretends to be .{pretended}")
        if hides_characters(name):
            yield Evidence("ATTACHMENT_HIDDEN_NAME", f"{shown} holds characters that reorder or hide others")

    def _is_forbidden(self, ending: str) -> bool:
        if self.settings.only_allowed:
            return bool(ending) and ending not in self._allowed
        return ending in self._forbidden and ending not in self._allowed

    def _look_into(self, part: Part, data: Octets, shown: str) -> Iterator[Evidence]:
        if part.size * (0.7 if part.encoding == "base64" else 1) > self.settings.largest:
            yield Evidence("ATTACHMENT_NOT_LISTED", f"{shown} is larger than {self.settings.largest} octets")
            return
        content = b"".join(part.pieces(data))
        if part.kind == "ole":
            yield from _check_ole(content, shown)
        elif part.kind == "pdf":
            if _PDF_SCRIPT.search(content):
                starts = bool(_PDF_STARTS.search(content))
                detail = f"{shown} is a PDF with JavaScript{' that starts by itself' if starts else ''}"
                yield Evidence("ATTACHMENT_PDF_SCRIPT", detail, 1.0 if starts else 0.5)
        else:
            listing = list_archive(part.kind, content, part.filename)
            if listing is not None:
                yield from self._check_archive(listing, shown)
                for path, nested in list_nested(content, listing):
                    yield from self._check_archive(nested, f"{show(path)} in {shown}")

    def _check_archive(self, listing: Listing, shown: str) -> Iterator[Evidence]:
        if listing.unlisted:
            yield Evidence("ATTACHMENT_NOT_LISTED", f"{shown}: {listing.unlisted}")
        if listing.bomb:
            yield Evidence("ATTACHMENT_BOMB", f"{shown}: {listing.bomb}")
        names = [member.name for member in listing.members]
        if listing.encrypted or any(member.encrypted for member in listing.members):
            yield Evidence("ATTACHMENT_ENCRYPTED", f"{shown} needs a password")
        if "[Content_Types].xml" in names:  # an Office document (ECMA-376 part 2)
            macros = [
                n for n in names if n.lower().endswith("vbaproject.bin") or n.lower().startswith("xl/macrosheets/")
            ]
            if macros:
                yield Evidence("ATTACHMENT_MACROS", f"{shown} holds macros ({show(macros[0])})")
            return
        nested = [name for name in names if extension(name) in _ARCHIVE_ENDINGS]
        if nested:
            yield Evidence("ATTACHMENT_NESTED_ARCHIVE", f"{show(nested[0])} in {shown}")
        stated = set()
        for name in names:
            for e in self._check_name(name, f"{show(name)} in {shown}"):
                if e.symbol not in stated:
                    stated.add(e.symbol)
                    yield e
        if macros := [name for name in names if extension(name) in _MACRO_ENDINGS]:
            yield Evidence("ATTACHMENT_MACROS", f"{show(macros[0])} in {shown} may hold macros", 0.5)


def _is_attached(part: Part) -> bool:
    """Whether it is a file, not the message's own text: it has a name, is called attached, or is no text by itself."""
    if part.filename or part.disposition == "attachment":
        return True
    return part.kind not in ("", "html", "rtf", "script") or not part.content_type.startswith(("text/", "message/"))


def _check_html(part: Part, data: Octets, shown: str) -> Iterator[Evidence]:
    """A page that is opened from the disk: a form for passwords that no filter of links has seen, or a program."""
    active = bool(_HTML_SCRIPT.search(part.decode(data, 256 * 1024)))
    what = "with a script or a form" if active else "without a script"
    yield Evidence("ATTACHMENT_HTML", f"{shown} is a web page {what}", 1.0 if active else 0.3)


def _check_ole(content: bytes, shown: str) -> Iterator[Evidence]:
    if _VBA in content:
        yield Evidence("ATTACHMENT_MACROS", f"{shown} holds macros (VBA)")
    if _ENCRYPTED_PACKAGE in content:
        yield Evidence("ATTACHMENT_ENCRYPTED", f"{shown} needs a password")
