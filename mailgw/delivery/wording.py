"""The words of reports: templates and causes, in a language, with what a site says in other words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from attrs import evolve, field, fields, frozen
from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError, TemplateSyntaxError

from mailgw.config.errors import ConfigError, ConfigurationErrors
from mailgw.config.structure import structure
from mailgw.config.text import number_lines, read_toml
from mailgw.delivery.causes import NAMES

Kind = Literal["failure", "delay", "success"]
KINDS: tuple[Kind, ...] = ("failure", "delay", "success")
_WIDTH = 76
_FOLDER = Path(__file__).parent / "wordings"


@frozen
class Words:
    """A kind of report. `text` is a Jinja template."""

    subject: str = ""
    text: str = ""


@frozen
class Cause:
    """A class of causes: `what` happened, and `action`, who can do what about it."""

    what: str = ""
    action: str = ""


@frozen
class Ages:
    """How long ago; `{}` stands for the number."""

    minutes: str = ""
    hour: str = ""
    hours: str = ""
    day: str = ""
    days: str = ""


@frozen
class WordingFile:
    """What a file of words may hold. In that of a site, what is not there stays as it is shipped."""

    failure: Words = field(factory=Words)
    delay: Words = field(factory=Words)
    success: Words = field(factory=Words)
    message: Words = field(factory=Words)
    ages: Ages = field(factory=Ages)
    causes: Mapping[str, Cause] = field(factory=dict)


class Wording:
    """The words, ready to use."""

    def __init__(self, file: WordingFile) -> None:
        """Raises jinja2.TemplateError for a template that cannot be read."""
        self._file = file
        environment = Environment(
            loader=DictLoader({name: getattr(file, name).text.removeprefix("\n") for name in (*KINDS, "message")}),
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            autoescape=False,  # plain text
        )
        environment.filters["wrap"] = _wrap
        self._templates = {kind: environment.get_template(kind) for kind in KINDS}

    def subject(self, kind: Kind) -> str:
        subject: str = getattr(self._file, kind).subject
        return subject

    def render(self, kind: Kind, facts: Mapping[str, Any]) -> str:
        """Give the text for people. `facts` are those of `report.facts`."""
        return self._templates[kind].render(facts).rstrip("\n") + "\n"

    def cause(self, name: str) -> Cause:
        """Give the words for a class of `causes`."""
        return self._file.causes[name]

    def age(self, seconds: float) -> str:
        """Say how long that is."""
        ages = self._file.ages
        hours = round(seconds / 3600)
        if hours < 1:
            return ages.minutes.format(max(round(seconds / 60), 1))
        if hours < 48:
            return ages.hour if hours == 1 else ages.hours.format(hours)
        return ages.days.format(round(seconds / 86400))


def load_wording(language: str, site_file: str = "") -> Wording:
    """Load the words of a language (`en`, `de`), changed by a site's file. Raises ConfigurationErrors."""
    shipped = shipped_words(language)
    words = structure(WordingFile, read_toml(shipped), str(shipped))
    if site_file:
        theirs = structure(WordingFile, read_toml(site_file), site_file)
        unknown = [name for name in theirs.causes if name not in NAMES]
        if unknown:
            raise ConfigurationErrors(number_lines(_unknown(site_file, name) for name in unknown))
        words = _merged(words, theirs)
    try:
        wording = Wording(words)
        for kind in KINDS:
            wording.render(kind, _SAMPLE)
    except TemplateSyntaxError as error:
        raise _refused(
            site_file or str(shipped), error.name or "", f"{error.message} (line {error.lineno} of it)"
        ) from None
    except TemplateError as error:
        raise _refused(site_file or str(shipped), "", f"a template does not work: {error.message}") from None
    return wording


def languages() -> list[str]:
    """Give the languages that there are words for."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def shipped_words(language: str) -> Path:
    """Give the file with the words of a language."""
    return _FOLDER / f"{language}.toml"


def _unknown(file: str, name: str) -> ConfigError:
    near = get_close_matches(name, NAMES, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return ConfigError(file, f"causes.{name}", f"there is no such cause{hint}")


def _refused(file: str, name: str, message: str) -> ConfigurationErrors:
    return ConfigurationErrors(number_lines([ConfigError(file, f"{name}.text" if name else "", message)]))


def _merged(words: WordingFile, theirs: WordingFile) -> WordingFile:
    causes = {name: _over(cause, theirs.causes.get(name)) for name, cause in words.causes.items()}
    sections = {
        name: _over(getattr(words, name), getattr(theirs, name))
        for name in ("failure", "delay", "success", "message", "ages")
    }
    return evolve(words, causes=causes, **sections)


def _over(words: Any, theirs: Any) -> Any:
    """Give words with those of the site in place of them where it has some."""
    changes = {a.name: getattr(theirs, a.name) for a in fields(type(words)) if theirs and getattr(theirs, a.name)}
    return evolve(words, **changes)


def _wrap(text: str, indent: int = 4) -> str:
    space = " " * indent
    return "\n".join(textwrap.wrap(text, _WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False))


# A site's template that names a fact wrongly is found when it is loaded, not when a report is due.
_RECIPIENT: Mapping[str, str] = dict.fromkeys(
    ("address", "what", "action", "last", "reply", "remote", "reason", "status", "next", "until", "done"), "x"
)
_SAMPLE: Mapping[str, Any] = {
    **dict.fromkeys(("hostname", "untold", "age", "received", "id", "returned"), "x"),
    "recipients": [_RECIPIENT, _RECIPIENT],
    "fields": [("Subject", "x")],
}
