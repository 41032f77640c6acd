"""What the user that the gateway runs as may read and write: root, who checks and starts it, may do everything."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable, Iterator

from mailgw.config.schema import Settings
from mailgw.config.text import quote_key
from mailgw.delivery.dkim.keys import key_files


def problems_of_user(settings: Settings) -> list[tuple[str, str]]:
    """Give the key and what is wrong for each file that the user cannot read, and each folder it cannot write.

    Nothing where it cannot be told: when we are not root, or there is no such user yet (a start says so).
    """
    if os.geteuid() != 0 or not settings.user:
        return []
    try:
        user = pwd.getpwnam(settings.user)
        group = grp.getgrnam(settings.group).gr_gid if settings.group else user.pw_gid
    except KeyError:
        return []

    def look() -> list[tuple[str, str]]:
        os.initgroups(settings.user, group)
        os.setgid(group)
        os.setuid(user.pw_uid)
        return list(_problems(settings))

    return _in_child(look) if user.pw_uid else []


def _problems(settings: Settings) -> Iterator[tuple[str, str]]:
    for key, path in _files(settings):
        if path and os.path.exists(path) and not os.access(path, os.R_OK):
            yield key, f"the user {settings.user} cannot read {path}, and the gateway reads it as that user"
    for key, path in _folders(settings):
        if not os.access(_existing(path), os.W_OK | os.X_OK):
            yield key, f"the user {settings.user} cannot write in {_existing(path)}; make it the owner of {path}"


def _files(settings: Settings) -> Iterator[tuple[str, str]]:
    """What is read while the gateway runs; the rest it reads as root, when it starts. Workers start as the user."""
    if settings.workers != 1:
        yield "filters_file", settings.filters_file
        yield "rules_file", settings.rules_file
    yield "routing.users_file", settings.routing.users_file
    yield "routing.aliases_file", settings.routing.aliases_file
    for name, domain in settings.domains.items():
        yield f"domains.{quote_key(name)}.recipients_file", domain.recipients_file
    for name, route in settings.routes.items():
        yield f"routes.{quote_key(name)}.password_file", route.password_file
    for path in key_files(settings.signing.keys_directory) if settings.signing.enabled else ():
        yield "signing.keys_directory", path


def _folders(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "state_directory", settings.state_directory
    if any(domain.deliver == "maildir" for domain in settings.domains.values()):
        yield "maildir.root", settings.maildir.root


def _existing(path: str) -> str:
    """The folder itself, or the one above it in which it would be made."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _in_child(work: Callable[[], list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Run it in a process of its own: a change of user cannot be taken back. Raises OSError when that fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                json.dump(work(), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, ended = os.waitpid(child, 0)
    if ended:
        raise OSError("cannot look at files as the user that the gateway runs as")
    return [(key, problem) for key, problem in json.loads(text)]
