"""Empty folders to run commands in, and a copy of the package to add files to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import harness as installed
from harness.cli.main import main
from tests import prepared
from tests.api.walkthrough import ROOT, section
from tests.conftest import Harness


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of prepared data that stand in for BTMD."""
    folder = tmp_path_factory.mktemp("phantoms")
    prepared.ensure(folder)
    return folder


@pytest.fixture
def harness(
    harness: Harness, tmp_path: Path, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> Harness:
    """Run the command in an empty folder and return its code, output and errors."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HARNESS_DATA", str(phantoms))
    return harness


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Path:
    """Return a folder in which the backbone's example has been trained as its page says."""
    folder = tmp_path_factory.mktemp("trained")
    shown = section("A backbone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HARNESS_DATA", str(phantoms))
        for name, text in shown.files.items():
            Path(name).write_text(text)
        for command in shown.commands:
            assert main(list(command)) == 0
    return folder


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy of the package, and a folder to run commands in."""

    root: Path
    folder: Path
    data: Path

    def write(self, name: str, text: str) -> None:
        """Write a file of the package, or one that lies in the folder."""
        place = self.root if name.startswith("harness/") else self.folder
        (place / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text that a file of the package has once."""
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        (self.root / name).write_text(text.replace(old, new))

    def run(self, *arguments: str) -> str:
        """Run a command with this package and return its output."""
        ran = subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.root), "HARNESS_DATA": str(self.data)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def changed(self) -> list[str]:
        """Return the files of the package that are new or differ from the original."""
        package = Path(installed.__file__).parent
        files = [
            p.relative_to(self.root / "harness") for p in (self.root / "harness").rglob("*.py")
        ]
        return sorted(
            f.as_posix()
            for f in files
            if not (package / f).is_file()
            or (package / f).read_bytes() != (self.root / "harness" / f).read_bytes()
        )


@pytest.fixture
def copy(tmp_path: Path, phantoms: Path, trained: Path) -> Copy:
    """Return a copy of the package; its folder has what the backbone's example left."""
    root = tmp_path / "copy"
    package = Path(installed.__file__).parent
    shutil.copytree(package, root / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "experiments", root / "experiments")
    folder = tmp_path / "folder"
    shutil.copytree(trained, folder)
    return Copy(root=root, folder=folder, data=phantoms)
