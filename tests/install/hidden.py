"""Make modules and distributions look as if they were not installed, in this and child processes.

``tests.install.blocked`` copies this file as ``sitecustomize.py``, which Python imports at its
start, into a folder of PYTHONPATH. HARNESS_TEST_BLOCKED names
modules, comma-separated; HARNESS_TEST_HIDDEN names distributions.
"""

from __future__ import annotations

import importlib.abc
import os
import re
import sys

MODULES = frozenset(filter(None, os.environ.get("HARNESS_TEST_BLOCKED", "").split(",")))
HIDDEN = frozenset(filter(None, os.environ.get("HARNESS_TEST_HIDDEN", "").split(",")))


def _plain(name):
    return re.sub(r"[-_.]+", "-", name or "").lower()


class _Filter(importlib.abc.MetaPathFinder):
    """Another finder, without what is blocked."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MODULES:
            return None
        return self.finder.find_spec(name, path, target)

    def find_distributions(self, *args, **kwargs):
        found = getattr(self.finder, "find_distributions", lambda *_, **__: ())(*args, **kwargs)
        return (one for one in found if _plain(one.metadata["Name"]) not in HIDDEN)

    def invalidate_caches(self):
        getattr(self.finder, "invalidate_caches", lambda: None)()


if MODULES or HIDDEN:
    sys.meta_path[:] = [_Filter(finder) for finder in sys.meta_path]
