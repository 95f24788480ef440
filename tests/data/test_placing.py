"""Stores appear as a whole: killed preparations leave nothing, and no store is lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data import placing, verify
from harness.data.prepare import prepare
from harness.data.prepared import Manifest, open_store, read_manifest
from harness.data.sets import phantom
from harness.errors import UserError
from tests import archives
from tests.archives import write_zip
from tests.conftest import Harness
from tests.survival.fuzz import check_line

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


STEPS = ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir", "pwrite", "posix_fallocate")
"""Calls of the system that a preparation makes; it may be killed at each, or each may fail."""


def _at(number: int, act: Callable[[], object], patch: pytest.MonkeyPatch) -> list[str]:
    """Do something before the call of that number among all of ``STEPS``, from 0 on.

    Returns the names of the calls, to which each is added when it is made.
    """
    calls: list[str] = []

    def counted(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def do(*arguments: object, **named: object) -> object:
            calls.append(name)
            if len(calls) == number + 1:
                act()
            return call(*arguments, **named)

        return do

    for name in STEPS:
        patch.setattr(os, name, counted(name, getattr(os, name)))
    return calls


def _calls(root: Path, archive: Path) -> list[str]:
    """Return the calls that replacing a store makes."""
    with pytest.MonkeyPatch.context() as patch:
        calls = _at(-1, lambda: None, patch)
        _prepare(root, archive, 20)
    return list(calls)


def _prepare(root: Path, archive: Path, size: int) -> Manifest:
    return prepare(archives.brain()[0], archive, root=root, size=size, workers=1)


def _kill_at(number: int, root: Path, archive: Path) -> None:
    """Replace a store in a process that is killed at a call."""
    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            _at(number, lambda: os.kill(os.getpid(), signal.SIGKILL), patch)
            _prepare(root, archive, 20)
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_kill_at_any_call_leaves_a_whole_store(tmp_path: Path, harness: Harness) -> None:
    archive = write_zip(tmp_path / "a.zip", archives.brain()[1])
    old = _prepare(tmp_path / "old", archive, 16)
    new = _prepare(tmp_path / "new", archive, 20)
    root = tmp_path / "data"
    shutil.copytree(tmp_path / "old", root)
    calls = _calls(root, archive)
    renames = [number for number, name in enumerate(calls) if name == "rename"]
    assert len(renames) == 3
    # With HARNESS_SURVIVE, which `make survive` sets, at every call instead of some.
    every = 1 if "HARNESS_SURVIVE" in os.environ else 12
    seen = set()
    for number in sorted({*range(0, len(calls), every), *renames, renames[-1] + 1}):
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "old", root)
        _kill_at(number, root, archive)
        hidden = sorted(path for path in root.iterdir() if path.name.startswith("."))
        left = placing.leftovers(root)
        commands = (
            ("data", "list"),
            ("plan", "table1", "--datasets", "btmd"),
            ("data", "verify", "btmd"),
        )
        code, _, err = harness(*commands[number % 3], "--data", str(root))
        # The plan has read the store when it says that it is too small.
        assert code == 0 or "btmd has 8 training images" in err
        found = read_manifest(root, "btmd")
        assert found in (old, new)
        seen.add(found == new)
        assert verify.damage(root / "btmd") == []
        # What is hidden is either named as left behind, or was the store and is so again.
        assert [one.path for one in left if one.path.exists()] == [p for p in hidden if p.exists()]
        assert _prepare(root, archive, 20) == new
        assert [path.name for path in root.iterdir()] == ["btmd"]
    assert seen == {False, True}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_call_is_one_line(tmp_path: Path, code: int) -> None:
    archive = write_zip(tmp_path / "a.zip", archives.brain()[1])
    root = tmp_path / "data"
    old, new = _prepare(root, archive, 16), _prepare(tmp_path / "new", archive, 20)
    calls = _calls(tmp_path / "new", archive)

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    every = 1 if "HARNESS_SURVIVE" in os.environ else 7
    for number in range(code % every, len(calls), every):
        with pytest.MonkeyPatch.context() as patch:
            _at(number, fail, patch)
            try:
                # Only folders that are there already, and what is removed at the end, may fail.
                assert _prepare(root, archive, 20) == new
                assert calls[number] == "mkdir" or number > calls.index("rename")
            except UserError as error:
                check_line(str(error))
                assert os.strerror(code) in str(error)
                assert read_manifest(root, "btmd") == old
                assert [path.name for path in root.iterdir()] == ["btmd"]
        assert verify.damage(root / "btmd") == []
        _prepare(root, archive, 16)
        assert [path.name for path in root.iterdir()] == ["btmd"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path: Path) -> None:
    """The images may lie just where the store would be: ``--from data/btmd``."""
    dataset, members = archives.brain()
    images = archives.write_folder(tmp_path / "btmd", members)
    with pytest.raises(UserError, match=r"btmd is where .* files \(Testing, Training\); move"):
        prepare(dataset, images, root=tmp_path, size=16)
    assert (images / "Training").is_dir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/btmd").write_text("a file")
    with pytest.raises(UserError, match="btmd is a file where the prepared data set would be"):
        prepare(dataset, images, root=tmp_path / "other", size=16)
    (tmp_path / "other/btmd").unlink()
    (tmp_path / "other/btmd").symlink_to("nowhere")
    with pytest.raises(UserError, match="btmd is a link to nothing where"):
        prepare(dataset, images, root=tmp_path / "other", size=16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["btmd", "other"]


def test_leftovers_of_the_living_are_not_named(tmp_path: Path, harness: Harness) -> None:
    with placing.scratch(tmp_path, "a") as living:
        (living / "images.npy").write_bytes(bytes(10))
        dead = tmp_path / ".b.xyz.making"
        dead.mkdir()
        (dead / "images.npy").write_bytes(bytes(2_500_000))
        assert placing.leftovers(tmp_path) == [(dead, 2_500_000)]
        code, _, err = harness("data", "list", "--data", str(tmp_path))
        assert code == 0
        assert ".b.xyz.making: left by a preparation that was killed, 2.5 MB" in err
    assert placing.leftovers(tmp_path / "nowhere") == []
