"""The house: who may import whom, where heavy libraries live, how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "msmae", "baselines", "experiments")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

HOMES = {
    "mlflow": ("harness/track.py",),
    "optuna": ("harness/sweep.py", "harness/storage.py"),
    "pandas": ("harness/report/", "harness/record.py"),
    "mmseg": ("msmae/segment.py",),
    "mmengine": ("msmae/segment.py",),
    "mmcv": ("msmae/segment.py",),
    "lightly": ("baselines/",),
    "fvcore": ("harness/cost/",),
    "matplotlib": ("harness/report/",),
    "timm": ("msmae/", "baselines/"),
}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60

FORBIDDEN_NAMES = ("utils", "util", "helpers", "common", "misc")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} imports relatively"
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_package_imports_only_itself_and_what_stands_left_of_it(path: Path) -> None:
    own = PACKAGES.index(_name(path).split("/")[0])
    for module in _imports(path):
        top = module.split(".")[0]
        assert top not in PACKAGES[own + 1 :], f"{_name(path)} imports {module}"
        assert top not in ("tests", "bench", "reports")


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_heavy_libraries_have_one_home(path: Path) -> None:
    for module in _imports(path):
        homes = HOMES.get(module.split(".")[0])
        if homes is not None:
            assert _name(path).startswith(homes), f"{_name(path)} imports {module}"
        assert not module.startswith("mlflow.pytorch")  # 8 s and half a gigabyte


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert path.stem not in FORBIDDEN_NAMES
    assert len(text.splitlines()) <= LONGEST_FILE
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{_name(path)} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{_name(path)}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_nothing_draws_from_global_randomness(path: Path) -> None:
    """torch's and numpy's global streams are touched by ``harness/seed.py`` alone."""
    text = path.read_text()
    for call in ("np.random.seed", "np.random.rand", "random.seed(", "torch.seed("):
        assert call not in text
    if _name(path) != "harness/seed.py":
        assert "manual_seed" not in text


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["--version"],
        ["list"],
        ["data", "list"],
        ["run", "--help"],
        ["sweep", "--help"],
        ["cost", "--help"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from harness.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'timm', 'mlflow', 'pandas', 'scipy', 'lightly', 'mmseg', 'optuna'}\n"
        "heavy |= {'fvcore', 'rich', 'matplotlib'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.strip() == "[]"
