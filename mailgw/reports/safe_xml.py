"""XML of strangers, read with expat under bounds: no document type, so no entity of theirs is ever expanded.

defusedxml would do the same with the same hooks of expat, but its last release is of 2021, and it bounds neither depth
nor the number of elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.parsers import expat

from attrs import define, field

MAX_DEPTH = 32
MAX_ELEMENTS = 2_000_000
MAX_KEPT = 50_000
"""Elements in memory at a time: those of one child of the root, and what of the root is kept."""
MAX_TEXT = 64 * 1024
"""Characters of one element; what is behind them is passed over."""


class XmlRefused(ValueError):
    """It is no XML, or not of a kind that is read; the text says why."""


@define
class Element:
    """An element by its local name. Attributes are not kept."""

    name: str
    text: str = ""
    children: list[Element] = field(factory=list)

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def child(self, name: str) -> Element:
        """Give the first of that name, or an empty one."""
        return next(self.all(name), None) or Element(name)

    def value(self, name: str) -> str:
        """Give the text of the first child of that name, without the space around it."""
        return self.child(name).text.strip()


def parse_xml(data: bytes, taken: Callable[[Element], bool] = lambda _: False) -> Element:
    """Read a document and give its root.

    `taken` is asked about each child of the root when that is whole: with True it is not kept, so that a document of
    many records does not stand in memory as a tree. Raises XmlRefused.
    """
    return _Reader(taken).read(data)


class _Reader:
    def __init__(self, taken: Callable[[Element], bool]) -> None:
        self._taken = taken
        self._open: list[Element] = []
        self._texts: list[str] = []
        self._room = MAX_TEXT
        self._seen = 0
        self._kept = 0
        self._below = 0
        self._root: Element | None = None
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self, data: bytes) -> Element:
        try:
            # In one piece: expat before 2.6 would look through an endless tag again for each.
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise XmlRefused(f"it is not well-formed XML: {error}") from None
        except (LookupError, ValueError) as error:  # an encoding that Python does not know, or not as one for XML
            raise XmlRefused(str(error)) from None
        if self._root is None:  # pragma: no cover  # expat says so itself
            raise XmlRefused("there is no element")
        return self._root

    def _doctype(self, name: str, *_: object) -> None:
        raise XmlRefused("it has a document type, and could define entities")

    def _start(self, name: str, _: object) -> None:
        self._seen += 1
        self._kept += 1
        if len(self._open) >= MAX_DEPTH or self._seen > MAX_ELEMENTS or self._kept > MAX_KEPT:
            raise XmlRefused(f"it has more than {MAX_ELEMENTS} elements or {MAX_DEPTH} levels, or too many in one")
        if len(self._open) == 1:
            self._below = self._kept - 1
        self._keep_text()
        self._open.append(Element(name.rpartition(":")[2]))

    def _end(self, _: str) -> None:
        self._keep_text()
        element = self._open.pop()
        if not self._open:
            self._root = element
        elif len(self._open) == 1 and self._taken(element):
            self._kept = self._below
        else:
            self._open[-1].children.append(element)

    def _characters(self, text: str) -> None:
        if self._room > 0:
            self._texts.append(text[: self._room])
            self._room -= len(text)

    def _keep_text(self) -> None:
        """What was read belongs to the element that is open."""
        if self._open and self._texts:
            self._open[-1].text += "".join(self._texts)
        self._texts.clear()
        self._room = MAX_TEXT
