"""How the threads of OpenMP wait: asleep, so that processes which share cores do not slow another.

By default a thread that has nothing to do spins for a while. Where more threads are runnable than
there are cores (two trainings side by side, a training beside others), what spins holds the core
that the others need, and everybody waits. No number depends on it.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which a user chooses; none is touched where one is set. torch's wheels bring GNU's
libgomp, which reads the first two; Intel's runtime reads the first and the third."""


def asleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep while they wait, unless the user has chosen; call it before torch loads."""
    if not any(name in environment for name in CHOSEN):
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
