"""Plug-ins in folders and packages: found by name, listed with their origin, one per name."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sources import offers
from tests import packages, prepared
from tests.conftest import Harness

TABLE = '''
"""Mine: a table."""
from harness.api import Column, Row, Table, mae
from width import RATIO

EXPERIMENT = Table(
    title="Mine",
    source="",
    columns=(Column(dataset="btmd"),),
    rows=(Row(name="mae", label="MAE", stages=mae.stages()),),
)
'''
SWEEP = '''
"""Mine: a sweep."""
from harness import api

EXPERIMENT = api.Sweep(
    title="Mine",
    dataset="btmd",
    row=api.Row(name="mae", label="MAE", stages=api.mae.stages()),
    space=api.Space(
        dimensions=(
            api.Real(
                name="ratio", fields=("pretrain.method.mask_ratio",), low=0.3, high=0.9, step=0.3
            ),
        )
    ),
    trials=2,
)
'''
METHOD = '''
"""Mine: a method."""
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from harness.api import Augmentation, Task


@dataclass(frozen=True, kw_only=True)
class Plugged:
    key_name: ClassVar = "plugged"
    backbone: ClassVar = None

    def build(self, dataset, backbones):
        return PluggedTask(len(dataset.classes))


class PluggedTask(Task):
    augmentations = (Augmentation(),)
    needs_whole = None

    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(3, classes)

    def losses(self, batch, at):
        logits = self.head(batch.images[0].mean((2, 3)))
        return {"total": nn.functional.cross_entropy(logits, batch.labels)}
'''
DATASET = '''
"""Mine: a data set."""
from harness.api import Dataset

def listing(source):
    return ()

DATASET = Dataset(
    name="{name}",
    title="Lungs",
    classes=("a", "b"),
    counts=(3, 4),
    sizes={{"train": 5, "eval": 2}},
    channels=1,
    source="",
    licence="",
    listing=listing,
)
'''
METRIC = '''
"""Mine: a metric."""
from harness.api import Metric

def share(probabilities, labels):
    return float((probabilities.argmax(1) == labels).mean())

METRIC = Metric(
    name="{name}", title="share (%)", better="higher", digits=1, factor=100.0, compute=share
)
'''
PROFILE = '''
"""Mine: a profile."""
from dataclasses import replace
from harness.api import SMOKE, BackboneSizes

PROFILES = (replace(SMOKE, name="{name}", backbones=BackboneSizes(image_size=16, scale="smoke")),)
'''
LAUNCHER = '''
"""Mine: a launcher."""

class Loud:
    """Run the work here, and say so."""

    shares_machine = True

    def run_workers(self, work):
        print("loud!")
        return (work.here(),)

LAUNCHER = Loud()
'''
FILES = {
    "mine_table": TABLE,
    "mine_sweep": SWEEP,
    "mine_method": METHOD,
    "lungs_set": DATASET.format(name="lungs"),
    "share_metric": METRIC.format(name="share"),
    "tiny_profile": PROFILE.format(name="tiny"),
    "loud": LAUNCHER,
    "width": "RATIO = 0.5\n",
    "_hidden": "raise ValueError\n",
}
OFFERED = ("mine_table", "mine_sweep", "mine_method", "lungs", "share", "tiny", "loud")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    prepared.ensure(folder)
    return folder


@pytest.fixture(autouse=True)
def _afresh(phantoms: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HARNESS_DATA", str(phantoms))
    offers.forget()
    yield
    packages.forget("offering")


def _folder(name: str, **files: str) -> Path:
    folder = Path(name)
    folder.mkdir()
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(textwrap.dedent(text.lstrip("\n")))
    return folder


def _line(out: str, name: str) -> str:
    (line,) = [line for line in out.splitlines() if line.split()[:1] == [name]]
    return line


def test_a_folder_s_files_are_listed_with_their_origin(harness: Harness) -> None:
    assert "mine_table" not in harness("list")[1]
    folder = _folder("plugins", **FILES).resolve()
    code, out, err = harness("list", "--plugins", "plugins")
    assert (code, err) == (0, "")
    stems = {"lungs": "lungs_set", "share": "share_metric", "tiny": "tiny_profile"}
    for name in OFFERED:
        assert f"file {folder / stems.get(name, name)}.py" in _line(out, name)
    assert "built in" in _line(out, "table1")
    assert "width" not in out
    assert offers.VARIABLE not in os.environ  # nothing stays of the option


def test_what_a_folder_offers_is_used_by_name(harness: Harness) -> None:
    _folder("plugins", **FILES)
    plugins = ("--plugins", "plugins")
    code, out, err = harness("plan", "mine_table", "--profile", "tiny", *plugins)
    assert code == 0, err
    assert "2 unique stages" in out
    code, out, err = harness("check", "mine_method", *plugins)
    assert code == 0, err
    assert "1 method checked: all in order." in out
    _, out, _ = harness("data", "list", *plugins)
    assert "lungs" in out
    code, _, err = harness("plan", "mine_sweep", "--profile", "smoke", *plugins)
    assert code == 2
    assert "mine_sweep is a sweep, not a table" in err


def test_a_table_by_name_and_by_path_has_the_same_keys(harness: Harness) -> None:
    _folder("plugins", **FILES)
    named = harness("plan", "mine_table", "--profile", "smoke", "--plugins", "plugins")
    assert named == harness("plan", "plugins/mine_table.py", "--profile", "smoke")
    assert named[0] == 0


def test_the_environment_names_several_folders(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _folder("one", first=METRIC.format(name="first"))
    _folder("two", second=METRIC.format(name="second"))
    monkeypatch.setenv("HARNESS_PLUGINS", os.pathsep.join(["one", "two"]))
    _folder("three", third=METRIC.format(name="third"))
    _, out, err = harness("list", "--plugins", "three")
    assert err == ""
    for name in ("first", "second", "third"):
        assert "file" in _line(out, name)
    monkeypatch.setenv("HARNESS_PLUGINS", "nowhere")
    code, _, err = harness("list")
    assert code == 2
    assert "No plug-in folder" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_metric_and_a_launcher_of_a_folder_are_used(harness: Harness) -> None:
    table = METHOD + textwrap.dedent(
        """
        from harness.api import Column, Recipe, Row, Stage, Table
        RECIPE = Recipe(epochs=5, batch_size=64, base_lr=1e-3)
        STAGE = Stage(phase="supervised", method=Plugged(), recipe=RECIPE)
        EXPERIMENT = Table(title="Mine", source="",
            columns=(Column(dataset="btmd"), Column(dataset="btmd", metric="share")),
            rows=(Row(name="mine", label="Mine", stages=(STAGE,)),))
        """
    )
    table = table.replace(
        "    def losses",
        "    def predict(self, images):\n"
        "        return self.head(images.mean((2, 3)))\n\n    def losses",
    )
    _folder("plugins", mine=table, **FILES)
    code, out, err = harness(
        "run", "mine", "--profile", "smoke", "--track", "off", "--plugins", "plugins",
        "--launcher", "loud",
    )  # fmt: skip
    assert code == 0, err
    assert "loud!" in out
    table = json.loads(Path("reports/smoke/mine.json").read_text())
    accuracy, share = table["rows"][0]["cells"].values()
    assert share["value"] == pytest.approx(accuracy["value"])


@pytest.mark.parametrize(
    ("command", "kind", "one", "two"),
    [
        (("plan", "mine", "--profile", "smoke"), "table", TABLE, SWEEP),
        (("check", "mine"), "method", METHOD, METHOD),
        (("plan", "table1", "--profile", "mine"), "profile", PROFILE, PROFILE),
        (
            ("plan", "table1", "--profile", "smoke", "--metrics", "mine"),
            "metric",
            METRIC,
            METRIC,
        ),
        (("data", "verify", "mine"), "data set", DATASET, DATASET),
        (
            ("run", "table1", "--profile", "smoke", "--launcher", "mine"),
            "launcher",
            LAUNCHER,
            LAUNCHER,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 10 else "",
)
def test_one_name_of_two_plug_ins_is_one_line(
    harness: Harness, command: tuple[str, ...], kind: str, one: str, two: str
) -> None:
    for folder, text in (("one", one), ("two", two)):
        named = text.format(name="mine") if "{name}" in text else text
        _folder(folder, mine=named, width="RATIO = 0.5\n")
    both = ("--plugins", "one", "--plugins", "two")
    code, _, err = harness(*command, *both)
    assert code == 2
    lines = [line for line in err.splitlines() if "Profile" not in line]
    assert set(lines) == {
        f"harness: The {kind} 'mine' comes from file {Path('one/mine.py').resolve()} and from file"
        f" {Path('two/mine.py').resolve()}; rename one, or leave its plug-in out."
    }
    offers.forget()
    code, _, err = harness("list", *both)
    assert code == 0
    assert err.count("comes from file") >= 1


@pytest.mark.parametrize(
    ("stem", "text", "command"),
    [
        ("table1", TABLE, ("plan", "table1", "--profile", "smoke")),
        ("m", METRIC.format(name="accuracy"), ("plan", "table1", "--metrics", "accuracy")),
        ("p", PROFILE.format(name="smoke"), ("plan", "table1", "--profile", "smoke")),
        ("d", DATASET.format(name="btmd"), ("plan", "table1", "--datasets", "btmd")),
        ("here", LAUNCHER, ("run", "table1", "--launcher", "here")),
    ],
)
def test_a_name_of_the_harness_is_not_replaced(
    harness: Harness, stem: str, text: str, command: tuple[str, ...]
) -> None:
    _folder("plugins", **{stem: text, "width": "RATIO = 0.5\n"})
    profile = () if "--profile" in command else ("--profile", "smoke")
    code, _, err = harness(*command, *profile, "--plugins", "plugins")
    assert code == 2
    assert "comes from the harness itself and from file" in err
    assert "Traceback" not in err


def test_a_broken_plug_in_costs_a_line_and_what_needs_it(harness: Harness) -> None:
    _folder(
        "plugins",
        share=METRIC.format(name="share"),
        broken="import nowhere_to_be_found\nMETRIC = DATASET = None\n",
        typo="def f(:\n",
        wrong="PROFILE = 3\n",
        mine=TABLE,  # it lacks width
    )
    code, out, err = harness("list", "--plugins", "plugins")
    assert code == 0
    assert "share" in out
    told = err.splitlines()
    assert len(told) == 4
    assert sum("No module named 'nowhere_to_be_found'" in line for line in told) == 2
    assert sum("typo.py cannot be used: invalid syntax" in line for line in told) == 1
    assert sum("is a int; it must be a Profile" in line for line in told) == 1
    offers.forget()
    code, _, err = harness("plan", "table1", "--profile", "smoke", "--plugins", "plugins")
    assert code == 0, err
    code, _, err = harness("plan", "mine", "--profile", "smoke", "--plugins", "plugins")
    assert code == 2
    assert "No module named 'width'" in err
    assert "Traceback" not in err
    code, _, err = harness("plan", "table1", "--metrics", "shrae", "--plugins", "plugins")
    assert code == 2
    assert "Did you mean 'share'?" in err


def test_an_edited_plug_in_is_loaded_again(harness: Harness) -> None:
    folder = _folder("plugins", share=METRIC.format(name="share"))
    assert "share" in harness("list", "--plugins", "plugins")[1]
    (folder / "share.py").write_text(METRIC.format(name="other_share"))
    assert "other_share" in harness("list", "--plugins", "plugins")[1]


def test_a_package_offers_everything(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (TABLE.replace("from width import RATIO\n", ""), METHOD, LAUNCHER)
    parts += tuple(t.format(name=n) for t, n in ((DATASET, "lungs"), (METRIC, "share")))
    text = "\n".join((*parts, PROFILE.format(name="tiny")))
    text += SWEEP.replace("EXPERIMENT = ", "SWEEP = ")
    entries = {
        "table.theirs": "offering.things",
        "method.plugged": "offering.things:Plugged",
        "dataset.lungs": "offering.things:DATASET",
        "metric.share": "offering.things:METRIC",
        "profile.tiny": "offering.things:PROFILES",
        "launcher.loud": "offering.things:LAUNCHER",
        "table.gone": "offering.gone",
        "metric.gone": "offering.gone:METRIC",
    }
    packages.install(tmp_path, monkeypatch, entries, text, "offering")
    code, out, err = harness("list")
    assert code == 0
    assert err.splitlines() == [
        "harness: The metric 'gone' of package offering cannot be loaded: ModuleNotFoundError: No"
        " module named 'offering.gone'."
    ]
    for name in ("theirs", "plugged", "lungs", "share", "tiny", "loud"):
        assert "package offering" in _line(out, name)
    code, out, err = harness("check", "plugged")
    assert code == 0, err
    code, out, err = harness("plan", "theirs", "--profile", "tiny")
    assert code == 0, err
    assert "2 unique stages" in out
    code, _, err = harness("plan", "gone", "--profile", "smoke")
    assert code == 2
    assert "The table 'gone' of package offering cannot be loaded" in err


def test_the_command_that_resumes_names_the_folders(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli import main, planning, plugged

    one, two = _folder("one").resolve(), _folder("two").resolve()
    monkeypatch.setenv("HARNESS_PLUGINS", str(one))
    words = ("run", "table1", "--profile", "smoke", "--data", "data", "--plugins", "two")
    args = main._parser().parse_args(words, argparse.Namespace(words=words))
    with plugged.folders_of(args):
        assert os.environ["HARNESS_PLUGINS"] == f"{two}{os.pathsep}{one}"
        command = planning.resuming_command(args)
    assert command.endswith(f"--plugins two --plugins {one}")
    assert os.environ["HARNESS_PLUGINS"] == str(one)
