"""Who is ours, and where their mail goes."""

from __future__ import annotations

from attrs import frozen

from mailgw.config.schema.setting import setting


@frozen
class Domain:
    """One of our domains."""

    deliver: str = setting(
        "`maildir`: to folders of the users here; or `route:NAME`: to the next hop of [routes.NAME].",
        "maildir",
    )
    catch_all: str = setting("Address that gets what is for nobody else in the domain. Empty: it is refused.", "")
    recipients_file: str = setting(
        "For a domain with a route: a file of its known recipients, one address a line. Without this and the next two "
        "keys any is taken.",
        "",
        path=True,
    )
    recipients_command: tuple[str, ...] = setting(
        "Or a program and its arguments that prints them, run without a shell at the start and then every "
        "`recipients_interval`. When it fails its last list stays.",
        (),
    )
    recipients_interval: float = setting("Time between two runs of recipients_command.", 300.0)
    call_ahead: bool = setting(
        "Or ask the next hop at RCPT whether it takes a recipient. A yes is kept for hours, a no for minutes.", False
    )


@frozen
class Routing:
    """Who is who."""

    users_file: str = setting("Users with their password hashes; written by `mailgw user`.", "users", path=True)
    aliases_file: str = setting("Aliases: `address: address, address` a line.", "aliases", path=True)
    separators: str = setting("Characters that end the mailbox name in user+detail@domain. Empty: none do.", "+")


@frozen
class Maildir:
    """Folders of users, as Maildir++."""

    root: str = setting("Mailboxes stand in ROOT/DOMAIN/USER.", "/var/mail/mailgw", path=True)
    inbox: str = setting(
        "`INBOX` is the Maildir itself; another name is a folder below it, such as `.Incoming`.", "INBOX"
    )
    spam: str = setting("Where mail with the verdict spam goes.", ".Spam")
    spam_subject: str = setting(
        "Put in front of the Subject of mail there, such as `[SPAM]`. It breaks DKIM for who checks it again.",
        "",
    )
