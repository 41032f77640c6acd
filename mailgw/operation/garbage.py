"""Python's cyclic garbage collector, told what a gateway is like."""

from __future__ import annotations

import gc

_THRESHOLDS = (20_000, 20, 20)


def settle() -> None:
    """Call it when everything is started: what is there then stays, so no pass needs to look at it again.

    A message makes some hundred objects that live until it is delivered. With Python's own first threshold, 700, every
    few messages pay for a pass over those of all that are under way.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
