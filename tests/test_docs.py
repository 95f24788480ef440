"""The documents: links, paths, commands, examples and words are those of the tree."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from harness.cli import main as command_line
from harness.plan import catalog
from harness.spec import profiles
from harness.train.task import StepContext

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")]
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())

LONGEST_README = 149

MADE = (
    "harness/data/sets/x.py",
    "reports/gpu/latency.json",
)
"""Paths that a document names and a user or a command makes."""

COMMITTED = ("harness/", "tests/", "experiments/", "baselines/", "msmae/", "docs/", "bench/")
"""Where a path between backticks belongs to the repository."""


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _blocks(page: Path, language: str) -> list[str]:
    """Return fenced blocks of a language, without the indentation of a list around them."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", _read(page), flags=re.S | re.M)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


def test_the_readme_is_short() -> None:
    assert len(_read(ROOT / "README.md").splitlines()) <= LONGEST_README


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", _read(page), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", _read(file), flags=re.M)
            slugs = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{target}: no such heading"


def test_every_page_is_linked_from_the_readme() -> None:
    text = _read(ROOT / "README.md")
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name})" in text


@every_page
def test_every_path_of_the_repository_exists(page: Path) -> None:
    # The plan of the move names what is gone.
    text = _read(page).partition("\n## The plan of the move\n")[0]
    for name in re.findall(r"`([\w./-]+)`", re.sub(r"```.*?```", "", text, flags=re.S)):
        if name.startswith(COMMITTED) and name not in MADE:
            assert (ROOT / name).exists(), f"{name} is not there"


def _commands(text: str) -> Iterator[list[str]]:
    """Yield the words after ``harness`` of every command of a console block."""
    for line in text.splitlines():
        for part in line.removeprefix("$ ").split(" && ") if line.startswith("$ ") else ():
            words = shlex.split(part, comments=True)
            if words[:1] == ["harness"]:
                yield words[1:]


SHOWN = [
    (page, words)
    for page in PAGES
    if page.stem != "extending"  # some need its examples; tests/api runs them all
    for block in _blocks(page, "console")
    for words in _commands(block)
]


@pytest.mark.parametrize(
    "shown", SHOWN, ids=lambda s: f"{s[0].stem}: {' '.join(s[1])}".replace("/", "|")
)
def test_every_command_is_understood(shown: tuple[Path, list[str]]) -> None:
    _, words = shown
    try:
        args = command_line._parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"harness {shlex.join(words)} is not understood")
    for name in _experiments(vars(args)):
        assert name in catalog.experiments(), f"no experiment {name}"


def _experiments(options: dict[str, object]) -> Iterator[str]:
    """Yield the named experiments; files are a user's own, "all" is every one."""
    one, several = options.get("experiment"), options.get("experiments", ())
    for name in (one, *several):  # type: ignore[misc]
        if isinstance(name, str) and not name.endswith(".py") and name != "all":
            yield name


def test_commands_are_found() -> None:
    assert len(SHOWN) > 20
    text = "text\n$ cd x && harness run table1 --set a=1   # why\nharness no\n$ pip install x"
    assert list(_commands(text)) == [["run", "table1", "--set", "a=1"]]


def test_the_readme_lists_every_command() -> None:
    actions = command_line._parser()._subparsers
    assert actions is not None
    (group,) = actions._group_actions
    rows = re.findall(r"^\| `harness (\w+)", _read(ROOT / "README.md"), flags=re.M)
    assert group.choices is not None
    assert sorted(rows) == sorted(group.choices)


def test_options_between_backticks_exist() -> None:
    known = _options(command_line._parser())
    for page in PAGES:
        for option in re.findall(r"`(--[a-z-]+)", _read(page)):
            assert option in known, f"{page.name} names {option}"


def _options(parser: object) -> set[str]:
    found: set[str] = set()
    for action in parser._actions:  # type: ignore[attr-defined]
        found |= set(action.option_strings)
        choices = getattr(action, "choices", None)
        for inner in choices.values() if isinstance(choices, dict) else ():
            found |= _options(inner)
    return found


def test_the_table_of_the_readme_is_a_table_that_builds(tmp_path: Path) -> None:
    (text,) = _blocks(ROOT / "README.md", "python")
    file = tmp_path / "my_table.py"
    file.write_text(text, encoding="utf-8")
    name, table = catalog.load(str(file))
    assert name == "my_table"
    assert [len(row.stages or ()) for row in table.rows] == [2, 2]


def test_the_masking_rule_of_the_page_trains(tmp_path: Path) -> None:
    (text,) = _blocks(ROOT / "docs/own-method.md", "python")
    file = tmp_path / "blocks.py"
    file.write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "harness", "check", "blocks.py"]
    checked = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    _, table = catalog.load(str(file))
    method = table.rows[1].chain()[0].method
    task = method.build(object(), profiles.SMOKE.backbones)
    at = StepContext(epoch=0, epochs=1, step=0, steps=1, generator=torch.Generator().manual_seed(0))
    order = task.draw_ahead(5, at)["order"]
    assert order.shape == (5, task.grid**2)
    assert (order.sort(1).values == torch.arange(task.grid**2)).all()
    first = order[:, 0]  # the place itself, around which the next ones lie
    rows, columns = order // task.grid, order % task.grid
    distance = torch.maximum(
        (rows - first[:, None] // task.grid).abs(), (columns - first[:, None] % task.grid).abs()
    )
    assert (distance.diff(dim=1) >= 0).all()


def test_the_result_of_the_readme_is_that_of_the_report() -> None:
    report = json.loads((ROOT / "reports/laptop/table1.json").read_text(encoding="utf-8"))
    reported = {row["label"].partition(" (ours")[0]: row["cells"] for row in report["rows"]}
    rows = re.findall(
        r"^\| ([^|]+) \| [^|]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$",
        _read(ROOT / "README.md"),
        flags=re.M,
    )
    assert len(rows) == len(reported) == 10
    for label, *numbers in rows:
        cells = reported[label.removesuffix(", supervised")]
        pairs = [(cells[name]["printed"], cells[name]["value"]) for name in ("btmd", "ham10000")]
        assert numbers == [f"{number:.2f}" for pair in pairs for number in pair], label


def test_every_word_of_the_glossary_is_used() -> None:
    glossary = ROOT / "docs/glossary.md"
    terms = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", _read(glossary), flags=re.M)
    terms = [t for t in terms if t != "term" and not set(t) <= set("-:")]
    assert terms == sorted(terms, key=str.lower)
    pages = " ".join(_read(page) for page in PAGES if page != glossary)
    sources = " ".join(_read(p) for p in sorted((ROOT / "harness").rglob("*.py")))
    text = re.sub(r"\s+", " ", pages + sources).lower()
    for term in terms:
        word = re.sub(r" \(.*\)$", "", term)
        plain = re.escape(word.lower())
        joined = re.escape("".join(part.capitalize() for part in word.split())).lower()
        assert re.search(rf"\b({plain}|{joined})", text), f"{term} is used nowhere"
