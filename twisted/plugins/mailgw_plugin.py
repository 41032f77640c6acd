"""Makes `twistd mailgw` known to Twisted; nothing else belongs here."""

from twisted.application.service import ServiceMaker

mailgw = ServiceMaker("mailgw", "mailgw.tap", "A mail gateway: receives, judges, delivers and relays.", "mailgw")
