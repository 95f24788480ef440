"""A newcomer's additions as ``docs/extending.md`` shows them, through the command line."""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.store.record import Records
from tests.api.conftest import Copy
from tests.api.walkthrough import ONCE, PAGE, ROOT, blocks, files_touched, headings, section
from tests.conftest import Harness

OWN_FILE = {"A method": "method", "A backbone": "backbone", "A table": "table or sweep"}
JUDGED = "Printed numbers and claims"
IN_THE_PACKAGE = {
    "A data set": "data set",
    "A metric": "metric",
    "A profile": "profile",
    "A report format": "report format",
    "A launcher": "launcher",
}


def test_every_addition_has_a_section() -> None:
    kinds = {**OWN_FILE, **IN_THE_PACKAGE}
    assert set(files_touched()) == set(kinds.values())
    assert [h for h in headings() if h in kinds] == list(kinds)


@pytest.mark.parametrize("heading", OWN_FILE)
def test_one_file_in_an_empty_folder_is_planned(harness: Harness, heading: str) -> None:
    shown = section(heading)
    assert len(shown.files) == files_touched()[OWN_FILE[heading]] == 1
    ((name, text),) = shown.files.items()
    Path(name).write_text(text)
    (planning,) = (c for c in shown.commands if c[0] == "plan")
    code, out, err = harness(*planning)
    assert code == 0, err
    assert "unique stage" in out
    assert [p.name for p in Path.cwd().iterdir()] == [name]


@pytest.mark.parametrize("heading", [h for h in OWN_FILE if h != "A table"])
def test_one_file_in_an_empty_folder_is_trained(harness: Harness, heading: str) -> None:
    shown = section(heading)
    for name, text in shown.files.items():
        Path(name).write_text(text)
    (training,) = (c for c in shown.commands if c[0] == "run")
    code, out, err = harness(*training)
    assert code == 0, err
    assert "0 failed" in out
    found = [json.loads(p.read_text()) for p in Path("runs/records").iterdir()]
    assert found
    assert {record["status"] for record in found} == {"done"}


@pytest.mark.parametrize("heading", [*OWN_FILE, JUDGED, "A notebook"])
def test_what_a_user_writes_imports_the_public_module_alone(heading: str) -> None:
    for text in section(heading).files.values():
        modules = [n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
        assert [m for m in modules if m and m.startswith("harness")] == ["harness.api"]


def test_a_table_of_printed_numbers_and_claims_is_judged(harness: Harness) -> None:
    shown = section(JUDGED)
    ((name, text),) = shown.files.items()
    Path(name).write_text(text)
    whole, part = shown.commands
    code, out, err = harness(*whole)
    assert (code, err) == (0, "")
    assert "Margin btmd ± 0.5 (the spread that the paper's section 4 states): not frozen" in out
    page = json.loads(Path("reports/smoke/my_paper-verdict.json").read_text())
    assert len(page["numbers"]) == 6
    assert [(e["rival"], e["word"]) for e in page["effects"]] == [
        ("vit", "not run"),
        ("mae", "not run"),
    ]
    costs = [n["verdict"] for n in page["numbers"] if n["column"] != "btmd"]
    assert costs == ["equal by computation"] * 3
    assert [claim["name"] for claim in page["claims"]] == [
        "beats-both",
        "cheaper",
        "attention",
    ]
    assert any("not worse" in part for part in page["claims"][1]["parts"])
    assert "lesions" in page["claims"][2]["reason"]
    code, out, err = harness(*part)
    assert (code, err) == (0, "")
    assert "Narrowed to rows vit, guided" in out
    assert json.loads(Path("reports/smoke/my_paper-verdict.json").read_text()) == page


def test_wrong_settings_of_the_method_are_one_line(harness: Harness) -> None:
    ((name, text),) = section("A method").files.items()
    Path(name).write_text(text)
    code, _, err = harness("plan", name, "--profile", "smoke", "--set", "pretrain.method.turns=5")
    assert code == 2
    assert "turns is 5; allowed: 2, 3 and 4." in err


# --- files of the package ------------------------------------------------------------------------


def _counted(copy: Copy, heading: str) -> list[str]:
    changed = copy.changed()
    assert len(changed) == files_touched()[IN_THE_PACKAGE[heading]]
    return changed


@pytest.mark.slow
def test_a_data_set_is_prepared_and_planned(copy: Copy) -> None:
    shown = section("A data set")
    for name, text in shown.files.items():
        copy.write(name, text)
    assert _counted(copy, "A data set") == ["data/sets/chest.py"]
    random = np.random.default_rng(0)
    for kind, count in (("healthy", 40), ("pneumonia", 24)):
        for number in range(count):
            file = copy.folder / f"archive/{kind}/{kind}{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (48, 40), dtype=np.uint8)).save(file)
    printed = [copy.run(*command) for command in shown.commands]
    assert "44" in printed[0]
    assert "chest / seed 0" in printed[-1]
    assert " 44 x " in printed[-1]


@pytest.mark.slow
def test_a_metric_is_computed_from_finished_records(copy: Copy) -> None:
    shown = section("A metric")
    function, _, entry = shown.files["harness/evaluate/metrics.py"].partition("\n\n\n")
    copy.replace("harness/evaluate/metrics.py", "\nMETRICS: ", f"\n{function}\n\n\nMETRICS: ")
    end = '        )\n    }\n)\n"""'
    copy.replace("harness/evaluate/metrics.py", end, f"{entry.rstrip()},\n{end}")
    assert _counted(copy, "A metric") == ["evaluate/metrics.py"]
    copy.write("my_metric_table.py", shown.files["my_metric_table.py"])
    before = {p: p.read_bytes() for p in (copy.folder / "runs").rglob("*") if p.is_file()}
    for command in shown.commands:
        copy.run(*command)
    assert before == {p: p.read_bytes() for p in before}
    (path,) = (copy.folder / "reports/smoke").glob("my_metric_table-part-*.json")  # it has --set
    table = json.loads(path.read_text())
    (cell,) = table["rows"][0]["cells"].values()
    (path,) = (copy.folder / "runs/predictions").glob("*.npz")
    kept = np.load(path)
    expected = _worst_recall(kept["last"], kept["labels"])
    assert cell["value"] == pytest.approx(100 * expected)


def _worst_recall(probabilities: np.ndarray, labels: np.ndarray) -> float:
    right = probabilities.argmax(1) == labels
    return min(float(right[labels == k].mean()) for k in np.unique(labels))


@pytest.mark.slow
def test_a_profile_is_listed_and_planned(copy: Copy) -> None:
    shown = section("A profile")
    (name,) = shown.files
    copy.replace(name, "\nPROFILES = ", f"\n{shown.files[name]}\nPROFILES = ")
    copy.replace(name, "(SMOKE, LAPTOP, PAPER)}", "(SMOKE, LAPTOP, PAPER, EVENING)}")
    assert _counted(copy, "A profile") == ["spec/profiles.py"]
    listed, planned = (copy.run(*command) for command in shown.commands)
    assert "evening" in listed
    assert "96 px" in listed
    assert "unique stage" in planned


@pytest.mark.slow
def test_a_report_format_is_written(copy: Copy) -> None:
    shown = section("A report format")
    for name, text in shown.files.items():
        copy.write(name, text)
    registry = "harness/report/write.py"
    copy.replace(registry, '    "csv": _csv,\n', '    "csv": _csv,\n    "txt": plain.render,\n')
    copy.replace(registry, "latex_paper, markdown, ", "latex_paper, markdown, plain, ")
    assert _counted(copy, "A report format") == ["report/plain.py", "report/write.py"]
    for command in shown.commands:
        copy.run(*command)
    (path,) = (copy.folder / "reports/smoke").glob("my_backbone-part-*.txt")
    (line,) = path.read_text().splitlines()[1:]
    label, number = line.split("\t")
    assert label == "Convolutions"
    assert 0 <= float(number) <= 100


@pytest.mark.slow
def test_a_launcher_starts_workers(copy: Copy) -> None:
    shown = section("A launcher")
    for name, text in shown.files.items():
        copy.write(name, text)
    assert _counted(copy, "A launcher") == ["execute/launchers/nice.py"]
    before = set((copy.folder / "runs/records").iterdir())
    for command in shown.commands:
        copy.run(*command)
    (path,) = set((copy.folder / "runs/records").iterdir()) - before
    record = json.loads(path.read_text())
    assert record["status"] == "done"
    assert record["definition"]["seed"] == 1


# --- the rest of the page ------------------------------------------------------------------------


def test_the_notebook_finds_what_was_trained(
    trained: Path,
    phantoms: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    (text,) = section("A notebook").files.values()
    exec(compile(text.replace('"data"', repr(str(phantoms))), "notebook", "exec"), {})
    out = capsys.readouterr().out
    assert out == "supervised conv / phantom-mri / seed 0 done\n"
    assert Records(Path("runs")).folder.is_dir()


TABLE = """
from harness.api import Column, Recipe, Row, Stage, Table, paper
from mine import Mine

recipe = Recipe(epochs=1, batch_size=64, base_lr=1e-3)
stages = (Stage(phase="pretrain", method=Mine(), recipe=recipe), paper.finetune_plain())
EXPERIMENT = Table(
    title="Mine",
    source="",
    columns=(Column(dataset="btmd"),),
    rows=(Row(name="mine", label="Mine", stages=stages),),
)
"""
LEFT_OPEN = {
    "self.encoder = ...": "self.encoder = VisionTransformer(backbones.vit, backbones.image_size)",
    'never call ``.item()``."""\n': 'never call ``.item()``."""\n'
    '        return {"total": self.encoder(batch.images[0]).square().mean()}\n',
    "import VIT\n": "import VIT\nfrom harness.api import VisionTransformer\n",
}
"""What the shape of a method in CONTRIBUTING.md leaves to the reader, filled in."""


def test_the_example_of_contributing_trains(harness: Harness) -> None:
    (text,) = blocks((ROOT / "CONTRIBUTING.md").read_text(), "python")
    for gap, filling in LEFT_OPEN.items():
        assert text.count(gap) == 1
        text = text.replace(gap, filling)
    Path("mine.py").write_text(text)
    Path("table.py").write_text(TABLE)
    code, out, err = harness("run", "table.py", *ONCE, "--track", "off")
    assert code == 0, err
    assert "2 stages trained, 0 found done, 0 failed" in out


def test_the_table_of_the_readme_is_planned(harness: Harness) -> None:
    indented = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    Path("my_table.py").write_text(textwrap.dedent(indented))
    code, out, err = harness("plan", "my_table.py", "--profile", "smoke")
    assert code == 0, err
    assert "4 unique stages" in out


def test_every_file_of_the_page_is_tested() -> None:
    with_files = [h for h in headings() if section(h).files]
    assert with_files == [*OWN_FILE, JUDGED, *IN_THE_PACKAGE, "A notebook"]
    assert len(blocks(PAGE.read_text(), "python")) == sum(len(section(h).files) for h in with_files)
