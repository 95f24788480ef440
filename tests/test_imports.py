"""The house: who may import whom, where heavy libraries live, how large things may grow."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "msmae", "baselines", "experiments")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))

HOMES = {
    "mlflow": ("harness/report/tracking",),
    "optuna": ("harness/sweep/study.py", "harness/sweep/storage.py", "harness/sweep/stored.py"),
    "pandas": ("harness/report/", "harness/store/record.py"),
    "mmseg": ("msmae/setr.py",),
    "mmengine": ("msmae/setr.py",),
    "mmcv": ("msmae/setr.py",),
    "lightly": ("baselines/",),
    "fvcore": ("harness/cost/",),
    "matplotlib": ("harness/report/", "harness/sweep/figures.py", "harness/figures/"),
    "timm": ("msmae/", "baselines/", "harness/train/families.py", "harness/train/pretrained.py"),
    "huggingface_hub": ("harness/train/pretrained.py",),
    "jinja2": ("harness/page/render.py",),
    "pyarrow": ("harness/report/frame_file.py",),
    "shtab": ("harness/cli/completion.py",),
    "submitit": ("harness/execute/launchers/",),
    "ray": ("harness/execute/launchers/",),
}
LONGEST_FILE, LONGEST_FUNCTION = 400, 80

ROOMS = (
    "",
    "stats",
    "sources",
    "spec",
    "store",
    "data",
    "augment",
    "train",
    "evaluate",
    "plan",
    "check",
    "cost",
    "latency",
    "execute",
    "report",
    "sweep",
    "verdict",
    "audit",
    "figures",
    "page",
    "results",
    "api",
    "cli",
)
"""Folders of ``harness``; each imports itself and those before it. "" is the files beside them."""

PUBLIC = "harness/api.py"
"""What users import from; it alone names the methods, too."""
SET_FROM_OUTSIDE = {
    # Other libraries' objects are set up so.
    ("harness/__main__.py", "sys.excepthook"),
    ("harness/cli/completion.py", "action.complete"),
    ("harness/cli/completion.py", "parser.description"),
    ("harness/cli/export_frame.py", "parser.description"),
    ("harness/cli/main.py", "parser.description"),
    ("harness/cli/migrate.py", "parser.description"),
    ("harness/cli/serve.py", "parser.description"),
    ("harness/cli/verdict.py", "parser.description"),
    ("harness/sources/user_files.py", "package.__path__"),
    ("harness/sources/user_files.py", "spec.submodule_search_locations"),
    ("harness/stats/paired.py", "rng.bit_generator.state"),
    ("harness/sweep/study.py", "self.study.sampler"),
    # Put back as they were before a user's code ran.
    *(("harness/surroundings.py", f"sys.{name}") for name in ("stdin", "stdout", "stderr")),
    *(("harness/surroundings.py", f"sys.{name}") for name in ("excepthook", "displayhook")),
    *(("harness/surroundings.py", f"flags.{name}") for name in ("enabled", "benchmark")),
    *(("harness/surroundings.py", f"flags.{name}") for name in ("deterministic", "allow_tf32")),
    ("harness/surroundings.py", "place.fp32_precision"),
    ("harness/execute/parts.py", "sys.stdin"),
    # A task under a counter draws the same masks twice; it is thrown away.
    ("harness/cost/check.py", "task.draw_masks"),
    # Recorded steps write gradients into tensors of their own.
    ("harness/train/graphs.py", "parameter.grad"),
    ("harness/train/steps.py", "block._compiled_call_impl"),
    ("harness/train/steps.py", "torch.backends.cudnn.benchmark"),
    ("harness/train/steps.py", "torch.backends.cudnn.deterministic"),
    # Gradients are handed from copies to parameters, as a backward pass does.
    ("harness/train/shadow.py", "self.copy.grad"),
    ("harness/train/shadow.py", "self.source.grad"),
    # Drawn in place.
    ("harness/data/sets/_shapes.py", "canvas.lesion"),
    # Made two lines above.
    ("harness/sources/reach.py", "written.ordered"),
    ("harness/sources/reach.py", "written.counts"),
}
"""Attributes that are set from outside their object, by file."""

FORBIDDEN_NAMES = ("utils", "util", "helpers", "common", "misc")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} imports relatively"
            yield node.module or ""


def _package(module: str) -> str:
    """Return the package of PACKAGES that a module belongs to, or its first name."""
    words = module.split(".")
    return words[2] if words[:2] == ["harness", "methods"] and len(words) > 2 else words[0]


def _file(module: str) -> Path:
    """Return where a module of ours lies."""
    words = module.split(".")
    if words[:2] == ["harness", "methods"]:
        words = words[2:]
    return ROOT.joinpath(*words).with_suffix(".py")


def _modules(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports, anywhere and for whatever reason."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (n for n in names if n.split(".")[0] == "harness" and _file(n).is_file())


def _room(words: list[str]) -> str:
    return words[1] if len(words) > 1 and words[1] in ROOMS else ""


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_package_imports_only_itself_and_what_stands_left_of_it(path: Path) -> None:
    own = PACKAGES.index("baselines" if _name(path) == PUBLIC else _name(path).split("/")[0])
    for module in _imports(path):
        top = _package(module)
        assert top not in PACKAGES[own + 1 :], f"{_name(path)} imports {module}"
        assert top not in ("tests", "bench", "reports")


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent.name == "experiments"], ids=_name)
def test_experiments_import_the_public_module_alone(path: Path) -> None:
    """They are what users copy."""
    ours = {m for m in _imports(path) if m.split(".")[0] in PACKAGES}
    assert ours == {"harness.api"}


@pytest.mark.parametrize("path", [p for p in SOURCES if _name(p).startswith("harness/")], ids=_name)
def test_a_room_imports_only_itself_and_rooms_before_it(path: Path) -> None:
    words = _name(path).removesuffix(".py").split("/")
    own = "cli" if words[-1] == "__main__" else _room(words)
    for module in _modules(path):
        room = _room(module.split("."))
        assert ROOMS.index(room) <= ROOMS.index(own), f"{_name(path)} imports {module}"


def test_every_folder_is_a_room() -> None:
    folders = {p.parent.name for p in (ROOT / "harness").glob("*/__init__.py")}
    assert folders <= {*ROOMS, "methods"}


def test_no_circle_of_modules() -> None:
    graph = {p: [_file(m) for m in _modules(p)] for p in SOURCES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(_name(p) for p in error.args[1]))


@pytest.mark.parametrize("name", ["msmae", "baselines"])
def test_methods_are_imported_by_one_name_only(name: str) -> None:
    with pytest.raises(ImportError, match=f"{name} is imported as harness.methods.{name}"):
        importlib.import_module(name)


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
    tree = _tree(path)
    assert ast.get_docstring(tree), f"{_name(path)} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{_name(path)}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_nothing_draws_from_global_randomness(path: Path) -> None:
    """torch's and numpy's global streams are touched by ``harness/seed.py`` alone.

    ``harness/check/draws.py`` names these functions to find them in a user's code.
    """
    text = path.read_text()
    for call in ("np.random.seed", "np.random.rand", "random.seed(", "torch.seed("):
        assert call not in text
    if _name(path) not in ("harness/seed.py", "harness/check/draws.py"):
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
        ["audit", "--help"],
        ["serve", "--help"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from harness.cli.main import main\n"
        "try:\n    code = main(sys.argv[1:])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'timm', 'mlflow', 'pandas', 'scipy', 'lightly', 'mmseg', 'optuna'}\n"
        "heavy |= {'fvcore', 'rich', 'matplotlib', 'jinja2'}\n"
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


@pytest.mark.parametrize("path", [p for p in SOURCES if _name(p).startswith("harness/")], ids=_name)
def test_the_command_line_is_parsed_in_cli_alone(path: Path) -> None:
    """Deeper functions take plain arguments or frozen dataclasses."""
    if _name(path).startswith("harness/cli/"):
        return
    assert not [m for m in _imports(path) if m.split(".")[0] == "argparse"]
    names = {n.id for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Name)}
    assert "argparse" not in names


def test_nothing_is_mutated_from_outside() -> None:
    """An object's attributes are set by its own methods, as ``self.NAME = ...``."""
    assert {(_name(p), a) for p in SOURCES for a in _set_from_outside(p)} == SET_FROM_OUTSIDE


def _set_from_outside(path: Path) -> Iterator[str]:
    if not _name(path).startswith("harness/"):
        return
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(part, ast.Attribute) and ast.unparse(part.value) != "self":
                    yield ast.unparse(part)
