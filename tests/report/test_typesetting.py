"""A machine with a part of TeX: what it lacks is found and named, other errors are not hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report import typesetting

NO_STYLE = "! LaTeX Error: File `pifont.sty' not found."
NO_METRIC = (
    "! Font T1/cmr/m/n/10=ecrm1000 at 10.0pt not loadable: Metric (TFM) file or "
    "installed font not found."
)
NO_BITMAP = "!pdfTeX error: pdflatex (file ecrm1000): Font ecrm1000 at 600 not found"
NO_FORMAT = "I can't find the format file `pdflatex.fmt'!"


@pytest.fixture
def tex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the one folder of commands on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _command(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _fails(folder: Path, told: str) -> None:
    _command(folder, "pdflatex", f"printf '%s\\n' \"{told.replace('`', chr(92) + '`')}\"; exit 1")


def test_no_tex_at_all(tex: Path) -> None:
    assert typesetting.lacking() == "pdflatex is not installed"


def test_a_tex_that_compiles_the_sample_lacks_nothing(tex: Path) -> None:
    _command(tex, "pdflatex", "while read -r line; do case $line in *ding*) exit 0;; esac; "
             "done < table.tex; exit 1")  # fmt: skip
    _command(tex, "kpsewhich", "exit 1")  # not asked
    assert typesetting.lacking() is None


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (NO_STYLE, "pifont.sty"),
        (NO_METRIC, "ecrm1000"),
        (NO_BITMAP, "ecrm1000"),
        (NO_FORMAT, "pdflatex.fmt"),
    ],
)
def test_what_pdflatex_misses_is_named(tex: Path, told: str, what: str) -> None:
    _fails(tex, told)
    assert typesetting.lacking() == f"this TeX lacks {what}"
    _command(tex, "kpsewhich", "echo /usr/share/texmf/$1")  # all packages are there
    assert typesetting.lacking() == f"this TeX lacks {what}"


def test_all_packages_that_kpsewhich_does_not_find_are_named(tex: Path) -> None:
    _fails(tex, NO_STYLE)
    _command(tex, "kpsewhich", "case $1 in pifont.sty|booktabs.sty) exit 1;; esac; echo /texmf/$1")
    assert typesetting.lacking() == "this TeX lacks booktabs.sty, pifont.sty"


def test_an_error_of_the_table_is_not_taken_for_a_missing_file(tex: Path) -> None:
    _fails(tex, "! Undefined control sequence.\nl.9 \\nonsense")
    _command(tex, "kpsewhich", "echo /usr/share/texmf/$1")
    assert typesetting.lacking() is None
