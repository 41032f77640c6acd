"""`mailgw send`: hand a message to a server and show what it answers."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from typing import Any, BinaryIO

import click

from mailgw.commands.output import printable
from mailgw.config import endpoints
from mailgw.mail.address import AddressError, Mailbox

_DEFAULT_PORT = {"none": 25, "starttls": 587, "implicit": 465}


@click.command()
@click.option("--server", required=True, metavar="HOST[:PORT]", help="The server to send to.")
@click.option(
    "--tls",
    type=click.Choice(["none", "starttls", "implicit"]),
    help="By default none, and starttls with --user.",
)
@click.option("--insecure", is_flag=True, help="Take any certificate, such as that of development.")
@click.option("--user", help="Log in as this user.")
@click.option("--password", help="The password. Others on this machine can see it while the command runs.")
@click.option("--password-file", type=click.File(), help="A file whose first line is the password.")
@click.option("--from", "sender", required=True, help='The reverse-path; "" is the null one.')
@click.option("--to", "recipients", required=True, multiple=True, help="A forward-path; may be given several times.")
@click.option("--helo", help="The name to say hello with. By default that of this host.")
@click.option("--raw", is_flag=True, help="Send line ends as they are, instead of CRLF.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for each answer.")
@click.argument("file", type=click.File("rb"))
def send(
    server: str,
    tls: str | None,
    insecure: bool,
    user: str | None,
    password: str | None,
    password_file: Any,
    sender: str,
    recipients: tuple[str, ...],
    helo: str | None,
    raw: bool,
    timeout: float,
    file: BinaryIO,
) -> None:
    """Send the message in FILE (- is the input) and print each reply.

    Ends with 1 when the message or one of its recipients was not taken.
    """
    tls = tls or ("starttls" if user else "none")
    try:
        host, port = endpoints.parse_host(server, _DEFAULT_PORT[tls])
        for address in (*recipients, *([sender] if sender else [])):
            Mailbox.parse(address)
    except AddressError as error:
        raise click.ClickException(f"{address}: {error}") from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if helo is not None and not (helo.isascii() and helo.isprintable() and " " not in helo):
        raise click.ClickException(f'"{helo}" is no name to say hello with')
    if password_file is not None:
        password = password_file.readline().rstrip("\r\n")
    if user and password is None:
        password = click.prompt("Password", hide_input=True, err=True)
    message = file.read()
    if not raw:
        message = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    try:
        connection = _connect(host, port, tls, _context(insecure), helo or socket.gethostname(), timeout)
        with connection:
            if user:
                connection.log_in(user, password or "")
            taken = _transaction(connection, sender, recipients, message)
    except (smtplib.SMTPException, OSError) as error:
        raise click.ClickException(_reason(error)) from None
    if not taken:
        raise SystemExit(1)


class _Dialogue(smtplib.SMTP):
    """A client that prints what is said. Passwords are not."""

    _secret = False

    def putcmd(self, cmd: str, args: str = "") -> None:
        # smtplib writes some verbs small; what it says while logging in is not a verb, and stays as it is.
        cmd = cmd if self._secret else cmd.upper()
        shown = "********" if self._secret else f"{cmd} {args}".strip()
        click.echo(f"> {printable(shown)}")
        super().putcmd(cmd, args)

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        lines = text.decode("utf-8", "replace").split("\n")
        for number, line in enumerate(lines, 1):
            click.echo(f"< {code}{' ' if number == len(lines) else '-'}{printable(line)}".rstrip())
        return code, text

    def log_in(self, user: str, password: str) -> None:
        self.ehlo_or_helo_if_needed()
        if not self.has_extn("auth"):
            raise smtplib.SMTPNotSupportedError("the server does not offer AUTH here")
        click.echo(f"(AUTH as {user})")
        self._secret = True
        try:
            self.login(user, password)
        finally:
            self._secret = False


class _TlsDialogue(_Dialogue, smtplib.SMTP_SSL):
    """The same under TLS from the first byte."""


def _connect(host: str, port: int, tls: str, context: ssl.SSLContext, helo: str, timeout: float) -> _Dialogue:
    if tls == "implicit":
        return _TlsDialogue(host, port, helo, timeout=timeout, context=context)
    connection = _Dialogue(host, port, helo, timeout=timeout)
    if tls == "starttls":
        try:
            connection.starttls(context=context)
        except BaseException:
            connection.close()
            raise
    return connection


def _context(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _transaction(connection: smtplib.SMTP, sender: str, recipients: tuple[str, ...], message: bytes) -> bool:
    """Send one message; say whether it was taken for every recipient."""
    connection.ehlo_or_helo_if_needed()
    options = []
    if not message.isascii() and connection.has_extn("8bitmime"):
        options.append("BODY=8BITMIME")
    if not "".join((sender, *recipients)).isascii():
        if not connection.has_extn("smtputf8"):
            raise smtplib.SMTPNotSupportedError("the addresses need SMTPUTF8, which the server does not offer")
        options.append("SMTPUTF8")
    if connection.has_extn("size"):
        options.append(f"SIZE={len(message)}")
    code, _ = connection.mail(sender, options)
    if code != 250:
        return False
    codes = [connection.rcpt(recipient)[0] for recipient in recipients]
    if not any(code in (250, 251) for code in codes):
        return False
    click.echo(f"(the message, {len(message)} octets)")
    try:
        code, _ = connection.data(message)
    except smtplib.SMTPDataError:
        return False
    return code == 250 and all(code in (250, 251) for code in codes)


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"refused: {error.smtp_code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}; --insecure takes any"
    return str(error) or type(error).__name__
