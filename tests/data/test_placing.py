"""Stores appear as a whole: killed preparations leave nothing, and no store is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.data import placing
from harness.data.prepared import open_store, read_manifest
from harness.data.sets import phantom

NAME = "phantom-mri"

KILLED = """
    import os, signal, sys
    from pathlib import Path
    from harness.data import placing, prepare
    from harness.data.sets import phantom

    point, root = sys.argv[1], Path(sys.argv[2])

    def kill(*arguments, **named):
        os.kill(os.getpid(), signal.SIGKILL)

    rename, decode_all = Path.rename, prepare.decode_all
    renames = 0

    def killed_at(number):
        def renamed(self, target):
            global renames
            renames += 1
            if renames == number:
                kill()
            return rename(self, target)
        return renamed

    if point == "decoding":
        prepare.decode_all = lambda work, folder: (decode_all(work, folder), kill())
    elif point == "removing":
        placing._remove = kill
    else:
        Path.rename = killed_at(int(point))
    phantom.ensure(root, "phantom-mri", size=32, again=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["decoding", "1", "2", "3", "removing"])
def test_a_killed_preparation_leaves_nothing_and_loses_nothing(tmp_path: Path, point: str) -> None:
    before = phantom.ensure(tmp_path, NAME, size=16)
    script = [sys.executable, "-c", textwrap.dedent(KILLED), point, str(tmp_path)]
    ended = subprocess.run(script, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    # A whole store is there: the old one, or the new one where it had taken the place.
    found = read_manifest(tmp_path, NAME)
    assert found is not None
    assert (found == before) == (point in ("decoding", "1", "2"))
    assert len(open_store(tmp_path, NAME).everything()) == 384
    phantom.ensure(tmp_path, NAME, size=16, again=True)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_folders_of_the_living_stay(tmp_path: Path) -> None:
    with placing.scratch(tmp_path, "a") as living:
        (living / "images.npy").write_bytes(b"being written")
        dead = tmp_path / ".b.xyz.making"
        dead.mkdir()
        other = tmp_path / ".other"
        other.mkdir()
        with placing.scratch(tmp_path, "b"):
            assert living.is_dir()
            assert not dead.exists()
            assert other.is_dir()
    assert not living.exists()


def test_a_process_that_ends_gives_its_folder_up(tmp_path: Path) -> None:
    """The lock belongs to the process, so it ends with it however that ends."""
    script = (
        "import os, sys, signal; from pathlib import Path; from harness.data import placing\n"
        "with placing.scratch(Path(sys.argv[1]), 'a') as folder:\n"
        "    (folder / 'x').write_bytes(b'x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True)
    assert len(list(tmp_path.iterdir())) == 1
    with placing.scratch(tmp_path, "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_file_systems_without_locks_still_hold_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(placing.fcntl, "flock", none)
    made = phantom.ensure(tmp_path, NAME, size=16)
    assert phantom.ensure(tmp_path, NAME, size=16, again=True) == made
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    stranger = tmp_path / ".c.xyz.making"
    stranger.mkdir()
    phantom.ensure(tmp_path, NAME, size=16, again=True)
    assert stranger.is_dir()  # whose it is cannot be known
    assert os.access(tmp_path, os.W_OK)
