"""Results of planted runs: frames, verdicts, loading, errors; nothing is trained."""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import harness.api as h
from harness.evaluate import registry
from harness.execute import devices
from harness.execute.executor import Outcome
from harness.execute.launch import LaunchOptions
from harness.plan.settings import OPTIONS
from harness.report.frame import COLUMNS
from harness.results import html
from harness.results import run as results_run
from harness.results.train import Training
from harness.store.record import Records
from tests import plans, planted
from tests.conftest import ROOT, Harness

CALL: dict[str, Any] = {
    "profile": "smoke",
    "rows": ["vit", "resnet50"],
    "datasets": "phantom-mri",
}
WORDS = ("--profile", "smoke", "--rows", "vit,resnet50", "--datasets", "phantom-mri")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared images, and the records of two rows under three seeds."""
    folder = tmp_path_factory.mktemp("results")
    planted.plant_all(plans.of_table1("vit", "resnet50", root=folder, seeds=(0, 1, 2)))
    return folder


@pytest.fixture(autouse=True)
def copied(store: Path, own_folder: Path) -> None:
    shutil.copytree(store, own_folder, dirs_exist_ok=True)


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.equals(other) and (one.dtypes == other.dtypes).all()


# --- frames --------------------------------------------------------------------------------------


def test_a_frame_has_a_row_per_run_and_metric_with_the_numbers_of_the_records() -> None:
    result = h.run("table1", **CALL, seeds=3)
    frame = result.frame
    assert result.trained == 0
    assert list(frame.columns) == list(COLUMNS)
    assert frame.attrs["schema"] == 1
    assert frame.attrs["commit"]
    runs = frame[frame["status"] == "done"]
    assert not runs.duplicated(["table", "row", "dataset", "seed", "probe", "metric"]).any()
    records, seen = Records(Path("runs")), 0
    for line in runs.to_dict("records"):
        record = records.read(line["key"])
        assert record is not None
        metrics = record.evaluation().at("last").metrics
        factor = registry.find(line["metric"]).factor
        assert line["value"] == factor * (metrics[line["metric"]] or 0.0)  # to the bit
        assert line["seed"] == record.definition["seed"]
        assert line["epochs"] == record.definition["stages"][-1]["recipe"]["epochs"]
        assert (line["stage"], line["rule"], line["probe"]) == ("supervised", "last", "")
        seen += 1
    assert seen == 6 * len(metrics)
    assert set(frame.loc[frame["metric"] == "accuracy", "unit"]) == {"%"}


def test_costs_failures_and_what_is_missing_have_lines_without_numbers() -> None:
    for path in sorted(Path("runs/records").glob("*.json"))[:1]:
        path.unlink()
    frame = h.load("runs", experiments="table1", **CALL).frame
    missing = frame[frame["status"] == "missing"]
    assert len(missing) == 1
    assert missing["value"].isna().all()
    assert missing["key"].str.len().eq(64).all()


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_an_exported_frame_is_the_result_s_to_the_bit(form: str, harness: Harness) -> None:
    code, out, err = harness("export", "frame", "table1", *WORDS, "--to", f"x.{form}")
    assert (code, out) == (0, "")
    assert f"Written: x.{form}" in err
    expected = h.run("table1", **CALL).frame
    path = Path(f"x.{form}")
    if form == "parquet":
        import pyarrow.parquet as pq

        metadata = pq.read_schema(path).metadata
        assert metadata[b"harness.schema"] == b"1"
        assert metadata[b"harness.commit"].decode() == expected.attrs["commit"]
        assert json.loads(metadata[b"harness.columns"]) == dict(COLUMNS)
        read = pd.read_parquet(path)
        assert _same(read[list(COLUMNS)], expected)
        return
    if form == "csv":
        with path.open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        assert list(lines[0]) == list(COLUMNS)
        assert [float(line["value"]) for line in lines] == [*expected["value"]]
        return
    content = json.loads(path.read_text())
    assert (content["schema"], list(content["columns"])) == (1, list(COLUMNS))
    assert [row["value"] for row in content["rows"]] == [*expected["value"]]


def test_an_export_is_printed_and_spares_what_is_no_frame(harness: Harness) -> None:
    code, out, err = harness("export", "frame", "table1", *WORDS)
    assert code == 0
    assert out.splitlines()[0] == ",".join(COLUMNS)
    assert "Profile 'smoke'" in err
    assert harness("export", "frame", "table1", *WORDS, "--format", "parquet")[0] == 2
    Path("notes.csv").write_text("my,notes\n1,2\n")
    code, _, err = harness("export", "frame", "table1", *WORDS, "--to", "notes.csv")
    assert code == 2
    assert "something else lies there" in err
    assert Path("notes.csv").read_text() == "my,notes\n1,2\n"
    for _ in range(2):
        assert harness("export", "frame", "table1", *WORDS, "--to", "x.csv")[0] == 0


# --- loading -------------------------------------------------------------------------------------


def test_a_written_table_and_its_records_give_the_same_result(harness: Harness) -> None:
    assert harness("report", "table1", *WORDS, "--out", "tables")[0] == 0
    assert harness("verdict", "table1", *WORDS, "--out", "tables")[0] == 0
    (path,) = Path("tables").glob("table1-part-*.json")
    live = h.run("table1", **CALL)
    shutil.rmtree("runs")
    shutil.rmtree("data")
    for place in (path, Path("tables"), Path("tables/records.jsonl.gz")):
        loaded = h.load(place)
        assert _same(loaded.frame, live.frame)
        assert loaded.table == path.with_suffix(".md").read_text()
        assert loaded.verdicts.summary == live.verdicts.summary
        # The notes name the command, which is another one.
        assert (
            loaded._repr_html_().split("<details>")[0] == live._repr_html_().split("<details>")[0]
        )
        assert loaded.figures == ()


def test_a_run_store_gives_its_tables(harness: Harness) -> None:
    assert set(h.load("runs", experiments=["table1"]).rows) >= {"vit", "resnet50", "mae"}
    one = h.load("runs", experiments="table1", **CALL)
    assert _same(one.frame, h.run("table1", **CALL).frame)
    table = h.load_table("table1")[1]
    assert h.load("runs", experiments=table, **CALL, name="mine").rows == one.rows


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("nowhere.json", "There is no nowhere.json"),
        ("nowhere", "There is no nowhere"),
        ("data", "neither a run store nor a folder of tables"),
        ("some.json", "is no table of the harness"),
        ("list.json", "is no table of the harness"),
        ("cut.json", "cut.json"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(place: str, says: str) -> None:
    Path("some.json").write_text('{"name": 1}')
    Path("list.json").write_text("[]")
    Path("cut.json").write_text('{"name": ')
    with pytest.raises(h.UserError, match=says) as raised:
        h.load(place)
    assert "\n" not in str(raised.value)


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rowz": ["vit"]}, "No setting 'rowz'. Did you mean 'rows'?"),
        ({"rows": 3}, "rows is 3; give a list of texts"),
        ({"rows": []}, "rows names nothing"),
        ({"rows": ["vit", "vit"]}, "rows names one twice"),
        ({"rows": ["vitt"]}, "No row 'vitt'. Did you mean 'vit'?"),
        ({"seeds": 0}, "seeds is 0; give a number of seeds from 1 to 1000"),
        ({"seeds": "0-4"}, "seeds is '0-4'; give a list of whole numbers"),
        ({"seeds": [-1]}, "seeds is"),
        ({"seeds": True}, "seeds is true"),
        ({"profile": "laptp"}, "No profile 'laptp'. Did you mean 'laptop'?"),
        ({"set": {"recipe.epoch": 3}}, "'epoch'. Did you mean 'epochs'?"),
        ({"set": {"recipe.epochs": object()}}, "give a number, a text"),
        ({"jobs": 0}, "jobs is 0; allowed: a whole number from 1 to 1024"),
        ({"jobs": 2, "jobs_per_device": 2}, "give one of them"),
        ({"devices": "one"}, "'one' is no device; give numbers as in 0,1"),
        ({"devices": 0.5}, "devices is 0.5; give a list of numbers or UUIDs"),
        ({"time": "soon", "launcher": "slurm"}, "'soon' is no time limit"),
        ({"slurm": {"a b": 1}}, "'a b=1' is no option of sbatch"),
        ({"gpus": 1}, "--launcher here does not take --gpus"),
        ({"launcher": "local", "nodes": 2}, "--launcher local does not take --nodes"),
        ({"margins": {"btmd": -1}}, "the margin of 'btmd' is -1"),
        ({"margins": {"btdm": 1}}, "No column for --margins 'btdm'. Did you mean 'btmd'?"),
        ({"track": "maybe"}, "track is 'maybe'"),
        ({"config": "nowhere.toml"}, "The file of settings nowhere.toml is not there"),
        ({"name": "mine"}, "name is that of a table which is given as a value"),
        ({"out": "x"}, "No setting 'out'"),
    ],
)
def test_what_cannot_be_used_is_one_line(given: dict[str, Any], says: str) -> None:
    with pytest.raises(h.UserError) as raised:
        h.run("table1", **{"profile": "smoke", "datasets": ["phantom-mri"], **given})
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_experiments_are_names_paths_or_tables() -> None:
    shutil.copy(ROOT / "experiments/table1.py", "mine.py")
    table = h.load_table("table1")[1]
    keys = []
    for experiment in ("table1", Path("mine.py"), "mine.py", table):
        frame = h.run(experiment, **CALL).frame
        keys.append(sorted(frame.loc[frame["status"] == "done", "key"]))
    assert all(key == keys[0] for key in keys)
    for wrong, says in ((3, "no experiment"), ("tabel1", "Did you mean 'table1'")):
        with pytest.raises(h.UserError, match=says):
            h.run(wrong)  # type: ignore[arg-type]
    with pytest.raises(h.UserError, match="save it in a file"):
        h.run(table, **CALL, jobs=2)


def test_a_call_spreads_workers_over_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VARIABLE, "0,1,2")
    monkeypatch.setattr(devices, "count", lambda: len(os.environ[devices.VARIABLE].split(",")))
    seen: list[LaunchOptions] = []

    def train(plan: Any, training: Training) -> Outcome:
        seen.append(training.launch)
        return Outcome(trained=0, found=0, failed=())

    monkeypatch.setattr(results_run, "train", train)
    monkeypatch.setattr(results_run, "choose_device", lambda: torch.device("cpu"))
    h.run("table1", **CALL, devices=[2, 0], jobs_per_device=2)
    (launch,) = seen
    assert (launch.jobs, launch.devices, launch.name) == (4, ("2", "0"), "local")
    assert os.environ[devices.VARIABLE] == "2,0"
    words = " ".join(launch.arguments)
    assert "--rows" in words
    assert not [word for word in ("jobs", "devices", "launcher") if f"--{word}" in words]


def test_a_call_in_another_thread_leaves_signals_alone() -> None:
    results: list[h.Result] = []
    thread = threading.Thread(target=lambda: results.append(h.run("table1", **CALL)))
    thread.start()
    thread.join()
    assert len(results) == 1


def test_html_shows_every_text_literally() -> None:
    _, table = h.load_table("table1")
    evil = "<script>alert('x')</script>"
    rows = tuple(
        replace(row, label=evil) if row.name == "vit" else row
        for row in table.rows
        if row.name in CALL["rows"]
    )
    result = h.run(replace(table, rows=rows, title=evil), **CALL)
    for shown in (result._repr_html_(), result.verdicts._repr_html_()):
        assert "<script" not in shown
    assert "&lt;script&gt;" in result._repr_html_()
    assert "<script" not in h.compare(result["vit"], result["resnet50"])._repr_html_()


def test_html_shows_intervals_marks_and_what_they_mean() -> None:
    result = h.run("table1", **CALL)
    values = copy.deepcopy(dict(result.parts[0].values))
    column = values["columns"][0]
    cell = values["rows"][0]["cells"][column["name"]]
    cell.update(value=50.594, sd=1.479, interval=[48.23, 52.94], marks=["†"])
    values["footnotes"] = [{"label": "†", "text": "made by other sources"}]
    shown = html.of_table(values, {})
    assert "50.59 ± 1.48 [48.23, 52.94] †" in shown
    assert "<li>† made by other sources</li>" in shown
    assert all(html.escape(note["text"]) in shown for note in values["notes"])


def test_verdicts_are_those_of_the_command(harness: Harness) -> None:
    code, out, _ = harness("verdict", "table1", *WORDS, "--json")
    assert code == 0
    (page,) = json.loads(out)["tables"]
    verdicts = h.run("table1", **CALL).verdicts
    (own,) = verdicts.pages
    assert json.loads(json.dumps(own["claims"])) == page["claims"]
    assert list(verdicts.summary)[: len(page["summary"])] == page["summary"]


def test_figures_are_drawn_as_svg_and_what_is_missing_is_one_line() -> None:
    result = h.run("table1", **CALL)
    by_name = {figure.name: figure for figure in result.figures}
    assert {"forest", "confusion", "reliability"} <= by_name.keys()
    assert "2" not in by_name  # no maps are kept
    (picture,) = by_name["forest"].draw()
    assert "<svg" in picture._repr_svg_()
    assert picture.save("forest.svg").read_text() == picture.svg
    with pytest.raises(h.UserError, match="Figure 6 cannot be drawn: "):
        by_name["6"].draw()


def test_the_page_describes_every_column_and_setting() -> None:
    page = (ROOT / "docs/python.md").read_text()
    for name, text in COLUMNS.items():
        assert f"| `{name}` | {text} |" in page
    for name in OPTIONS:
        assert f"`{name}`" in page


@pytest.mark.parametrize(
    ("statement", "said"),
    [("raise SystemExit(3)", "SystemExit: 3"), ("undefined_name", "NameError: name 'undefined")],
)
def test_a_file_that_raises_ends_no_process(statement: str, said: str) -> None:
    Path("own.py").write_text(f'"""Mine."""\n{statement}\nEXPERIMENT = None\n')
    with pytest.raises(h.UserError, match=r"own\.py, line 2: " + said):
        h.run("own.py", profile="smoke")


@pytest.mark.parametrize("value", [3, b"runs", 1.5])
def test_what_is_no_path_is_told(value: Any) -> None:
    with pytest.raises(h.UserError, match=r"place is .*give a path"):
        h.load(value)
    with pytest.raises(h.UserError, match=r"config is .*give a path"):
        h.run("table1", config=value)
    with pytest.raises(h.UserError, match=r"experiments is 3; give a name"):
        h.load("runs", experiments=3)  # type: ignore[arg-type]
