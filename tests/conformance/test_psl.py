"""The vectors of the Public Suffix List: what somebody registered of a name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.domains import normalise_host, registered_domain

SUITES = Path(os.environ.get("MAILGW_SUITES", Path(__file__).parents[2] / ".." / "shared" / "suites"))
FILE = SUITES / "psl" / "test_psl.txt"
_VECTOR = re.compile(r"^checkPublicSuffix\('([^']*)', (?:'([^']*)'|null)\);", re.M)


class PublicSuffixTests(SynchronousTestCase):
    if not FILE.is_file():
        skip = f"the vectors are not there: {FILE}"

    def test_vectors(self) -> None:
        vectors = _VECTOR.findall(FILE.read_text())
        self.assertGreater(len(vectors), 70)
        for name, domain in vectors:
            if name.startswith("."):
                continue  # no host: `normalise_host` takes dots at the ends away
            host = normalise_host(name).name
            # Where nothing is registered, we give the name itself: a suffix stands for itself.
            expected = normalise_host(domain).name if domain else host
            self.assertEqual(registered_domain(host), expected, name)
