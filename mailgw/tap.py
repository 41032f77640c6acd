"""The composition root: what `twistd mailgw` builds. The only module of the gateway that names the reactor."""

from __future__ import annotations

import random
import sys
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from mailgw.composition.gateway import build
from mailgw.config.errors import ConfigurationErrors
from mailgw.operation.service import StartError
from mailgw.operation.tls import TlsError
from mailgw.operation.workers import Place

DEFAULT_CONFIG = "/etc/mailgw/mailgw.toml"


class Options(usage.Options):
    """The options of `twistd mailgw`."""

    synopsis = "[--config FILE]"
    longdesc = "A mail gateway. Everything else is configured in the file."
    optParameters = [
        ["config", "c", DEFAULT_CONFIG, "The main configuration file."],
        ["worker", None, None, "What a worker is told by its supervisor; not for people."],
    ]


def makeService(options: Options) -> IService:
    """Read the configuration and build the service. Exits with one line for each thing that is wrong."""
    from twisted.internet import reactor

    twisted_reactor: Any = reactor
    try:
        # A daemon's standard output leads nowhere.
        stream = sys.stdout if options.parent is None or options.parent["nodaemon"] else None
        place = None if options["worker"] is None else Place.from_text(options["worker"])
        return build(options["config"], twisted_reactor, random.SystemRandom(), stream, place)
    except ConfigurationErrors as errors:
        sys.exit("\n".join(f"mailgw: {error}" for error in errors.errors))
    except (StartError, TlsError, OSError) as error:
        sys.exit(f"mailgw: {error}")
