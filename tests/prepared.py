"""Generated images, drawn once a session and copied into the folder of each test."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from harness import sealed
from harness.data.prepared import Manifest, read_manifest
from harness.data.sets import phantom


def ensure(root: Path, name: str = "phantom-mri", *, size: int = phantom.SIZE) -> Manifest:
    """Put a family into a folder of stores as ``phantom.ensure`` does, which takes half a second.

    The files are copies: a test may damage them.
    """
    shutil.copytree(_drawn(name, size), root / name)
    manifest = read_manifest(root, name)
    assert manifest is not None
    return manifest


def rewrite(path: Path, **changes: Any) -> None:
    """Change fields of a manifest and give it the digest of its new content."""
    content = json.loads(path.read_bytes())
    del content[sealed.FIELD]
    path.write_bytes(sealed.seal({**content, **changes}))


def _drawn(name: str, size: int) -> Path:
    folder = Path(_folder().name, str(size))
    if not (folder / name).is_dir():  # not drawn yet, or removed by what tidies temporary files
        phantom.ensure(folder, name, size=size)
    return folder / name


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is removed with the process."""
    return tempfile.TemporaryDirectory(prefix="harness-phantoms-")
