"""Mail::DKIM, the verifier of SpamAssassin and Amavis, which asks a DNS server of ours for the keys."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = """\
use strict; use warnings;
use Mail::DKIM::DNS; use Mail::DKIM::Verifier; use Net::DNS::Resolver;
my $port = shift;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $port));
foreach my $path (@ARGV) {
    my $verifier = Mail::DKIM::Verifier->new();
    open my $file, '<:raw', $path or die "$path: $!";
    while (read $file, my $piece, 65536) { $verifier->PRINT($piece) }
    $verifier->CLOSE;
    foreach my $signature ($verifier->signatures) {
        print join("\\t", $path, $signature->algorithm, $signature->result_detail), "\\n";
    }
}
"""


def absent() -> str:
    """Why it cannot be asked here; empty when it can."""
    try:
        found = subprocess.run(["perl", "-MMail::DKIM::Verifier", "-MNet::DNS", "-e", "1"], capture_output=True)
    except FileNotFoundError:
        return "not installed: perl"
    return "" if found.returncode == 0 else "not installed: Mail::DKIM or Net::DNS for perl"


def verify(messages: Sequence[Path], dns_port: int) -> list[dict[str, str]]:
    """Give what it says of each message: algorithm -> result. The DNS server must run beside: call it in a thread.

    Of an algorithm that a release does not know, the result says `unsupported algorithm`.
    """
    arguments = ["perl", "-e", _SCRIPT, str(dns_port), *map(str, messages)]
    output = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout
    results: dict[str, dict[str, str]] = {str(path): {} for path in messages}
    for line in output.splitlines():
        path, algorithm, result = line.split("\t")
        results[path][algorithm] = result
    return list(results.values())
