"""File names of attachments: what they pretend to be."""

from __future__ import annotations

import re
import unicodedata

from mailgw.filters.magic import ARCHIVES, PROGRAMS

# Extensions that Windows, macOS or a program of theirs runs, installs or mounts. Disk images are among them: what is in
# one of them escapes the mark of the web.
RUNNABLE = (
    "ade adp apk app appinstaller application appx appxbundle bas bat chm cmd com cpl deb dll dmg exe gadget hta img"
    " inf ins iso isp jar jnlp js jse lnk mde msc msi msix msp mst one pif pkg ps1 ps1xml psc1 psm1 reg rpm scf scr sct"
    " settingcontent-ms shb sys url vb vbe vbs vhd vhdx vxd wim wsc wsf wsh xll"
)
# What files of these extensions may be by their content. What is in none of them is not judged.
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("pdf", frozenset(("pdf",))),
    ("rtf", frozenset(("rtf", "ole", "zip"))),
    ("doc docx docm dot dotx xls xlsx xlsm xlsb ppt pptx pptm odt ods odp", frozenset(("ole", "zip", "rtf", "html"))),
    (
        "jpg jpeg png gif webp bmp tif tiff heic svg",
        frozenset(("jpeg", "png", "gif", "webp", "bmp", "tiff", "mp4")),
    ),
    ("txt csv log md ics vcf json", frozenset()),
    ("mp3 wav ogg mp4 mov avi m4a", frozenset(("mp3", "wav", "ogg", "mp4", "avi"))),
    ("zip rar 7z gz tgz tar bz2 xz cab zst", ARCHIVES),
)
_EXPECTED = {ending: kinds for endings, kinds in _FAMILIES for ending in endings.split()}
# Content that does harm when it comes under another name.
_HARMFUL = PROGRAMS | ARCHIVES | {"ole", "html", "chm", "onenote", "swf", "pdf"}
_RUNNABLE = frozenset(RUNNABLE.split()) - {"com", "app"} | {"md", "sh", "py", "pl", "rs", "so"}
_HARMLESS = frozenset((*_EXPECTED, "htm", "html", "xml", "eml", "msg"))
_DIVIDED = re.compile(r"[\s_]*\.[\s_]*")
# RFC 9839 and UAX 9: characters that change the direction of what is behind them.
OVERRIDES = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"


def extension(name: str) -> str:
    """Give the extension as the system that opens the file sees it: in lower case, without invisible characters, and
    without the dots and spaces at the end that Windows takes away."""
    if not name.isascii():
        name = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    name = name.rstrip(" .")
    return name.rpartition(".")[2].lower().strip() if "." in name else ""


def is_file_ending(ending: str) -> bool:
    """Whether files are called so: `report.zip` in a text may be a file, though .zip is a top-level domain too."""
    return ending in _HARMLESS or ending in _RUNNABLE


def pretended_extension(name: str) -> str:
    """Give the extension in front of the last one when it is that of a document: `pdf` of `bill.pdf   .exe`."""
    pieces = _DIVIDED.split(name.rstrip(" ."))
    before = pieces[-2].lower() if len(pieces) > 2 else ""
    return before if before in _HARMLESS else ""


def is_disguised(kind: str, name: str, content_type: str) -> bool:
    """Whether a file is something harmful by its content (`magic.find_kind`) that its name denies, or its type."""
    if kind not in _HARMFUL:
        return False
    ending = extension(name)
    if ending:
        expected = _EXPECTED.get(ending)
        return expected is not None and kind not in expected and not (ending == "svg" and kind == "html")
    if content_type == "application/pdf":
        return kind != "pdf"
    return content_type.startswith(("image/", "audio/", "video/")) and content_type != "image/svg+xml"


def hides_characters(name: str) -> bool:
    """Whether it holds characters that change the order of its letters, or that nobody sees."""
    return not name.isascii() and any(
        c in OVERRIDES or (unicodedata.category(c) == "Cf" and c not in "\u200c\u200d\u00ad\ufeff") for c in name
    )
