"""The list of packages agrees with the project's files, and tells what is missing."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from harness import packages
from harness.errors import UserError
from tests.conftest import ROOT
from tests.install import matrix

LOCK = [x for x in (ROOT / "requirements.lock").read_text().splitlines() if "==" in x]


def _plain(requirement: str) -> str:
    return re.split(r"[<>=!\s]", requirement)[0].lower().replace("_", "-")


def test_every_requirement_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {_plain(line): line for line in project["dependencies"]}
    extras = project["optional-dependencies"]
    for package in packages.PACKAGES:
        if package.extra is None:
            assert asked[_plain(package.requirement)] == package.requirement
        else:
            assert package.requirement in extras[package.extra]
    # mmengine imports setuptools' pkg_resources; nothing here does.
    assert asked.keys() - {_plain(p.name) for p in packages.PACKAGES} == {"setuptools"}


def test_the_light_set_is_part_of_the_lock_and_holds_what_is_always_needed() -> None:
    lines = (ROOT / "requirements-light.txt").read_text().splitlines()
    light = [line for line in lines if "==" in line]
    assert set(light) <= set(LOCK)
    always = {p.name for p in packages.PACKAGES if p.needed == "always"}
    assert always <= {_plain(line) for line in light}


def test_named_packages_stay_in_the_default_install() -> None:
    asked = {p.name for p in packages.PACKAGES}
    assert set(matrix.NAMED) <= asked


def test_a_package_without_what_it_imports_is_named(tmp_path: Path) -> None:
    module = tmp_path / "site-packages/optuna/storage.py"
    module.parent.mkdir(parents=True)
    module.write_text("import no_such_module_at_all\n")
    with pytest.raises(ModuleNotFoundError) as raised:
        exec(compile(module.read_text(), str(module), "exec"), {})
    told = str(packages.explain(raised.value))
    assert told.startswith("optuna cannot be imported: it needs 'no_such_module_at_all'")
    assert 'pip install "optuna>=4.5"' in told


def test_other_failed_imports_are_not_explained() -> None:
    assert packages.explain(ModuleNotFoundError("no", name="somebody_elses")) is None
    assert packages.explain(ModuleNotFoundError("no", name="torch.no_such_part")) is None
    assert packages.explain(ValueError("no")) is None


def test_a_folder_that_is_left_of_a_package_is_not_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left_over/lib").mkdir(parents=True)
    left = replace(packages.PACKAGES[0], name="left", module="left_over", requirement="left>=1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(packages, "PACKAGES", (left,))
    assert packages.missing() == (left,)
    for text in ("from left_over import Tensor", "import left_over; left_over.device('cpu')"):
        told = 'need left, which is not installed: pip install "left'
        with pytest.raises(UserError, match=told), packages.explained():
            exec(text, {})
    with pytest.raises(ImportError), packages.explained():
        exec("from pathlib import NoSuchPath", {})
    with pytest.raises(AttributeError), packages.explained():
        exec("import pathlib; pathlib.NoSuchPath", {})


def test_two_families_at_once_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.clash() is None
    found = importlib.metadata.version

    def version(name: str) -> str:
        return "1.4.2" if name == "onedl-mmsegmentation" else found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    line = packages.clash() or ""
    own = found("mmsegmentation")
    assert f"mmsegmentation {own} and onedl-mmsegmentation 1.4.2 are both installed" in line
    assert "pip uninstall -y mmsegmentation" in line
    assert "\n" not in line


def test_two_families_stop_segmentation_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.execute import lacking
    from harness.methods.baselines.mae import MAE
    from harness.methods.msmae.segmentation import Segment

    monkeypatch.setattr(packages, "clash", lambda: "both are installed")
    lacking.check(MAE())
    with pytest.raises(UserError, match="both are installed"):
        lacking.check(Segment())


def test_the_matrix_has_a_case_for_every_named_package() -> None:
    names = [case.name for case in matrix.cases("python3.12")]
    assert {f"without-{name}" for name in matrix.NAMED} < set(names)
    assert {"light", "fork", "twice", "all", "python312"} < set(names)
