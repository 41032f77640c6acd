"""The socket of a mail store on this host: why it takes no connection, and what to do."""

from __future__ import annotations

import errno
import os

from twisted.internet.error import ConnectError

_NOBODY_LISTENS = "nobody listens there: start the mail store, or correct `hosts` of the route"
_WHAT_TO_DO = {
    errno.ENOENT: _NOBODY_LISTENS,
    errno.ENOTDIR: _NOBODY_LISTENS,
    errno.ECONNREFUSED: _NOBODY_LISTENS,
    errno.EPROTOTYPE: "it is a socket of another kind: correct `hosts` of the route",
    errno.EACCES: "`user` of mailgw.toml (uid {uid}) has to be allowed to write to it and to enter the folders above "
    "it: in Dovecot by `user` and `mode` of its unix_listener",
}


def socket_trouble(error: ConnectError | OSError) -> str:
    """Say what stands in the way, in the system's words where it has some, and what can be done."""
    number = error.osError if isinstance(error, ConnectError) else error.errno
    if isinstance(error, ConnectError) and not isinstance(number, int):
        # connect(2) says EAGAIN at once, where TCP would wait; Twisted takes it for a connection that has ended.
        return "it takes no more connections now: as many wait there as the store lets wait"
    if number is None:
        return str(error)
    advice = _WHAT_TO_DO.get(number)
    return f"{os.strerror(number)}; {advice.format(uid=os.geteuid())}" if advice else os.strerror(number)
