"""``harness report --format html``: which tables, which runs, where the page is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.prepared import Manifest
from harness.page import find
from harness.page.build import build
from harness.page.find import ReadOnce
from harness.plan import columns
from harness.spec import profiles
from harness.store.record import Records
from tests.conftest import Harness
from tests.page import stores
from tests.page.asked import request
from tests.page.reading import Reader

FOLDERS = ("--data", "data", "--runs", "runs")


@pytest.mark.slow
def test_all_shows_every_table_that_has_a_run(harness: Harness) -> None:
    plan = stores.fill(stores.planned(rows=("mae", "msmae"), seeds=(0, 3)))
    assert plan.columns[0].used.name == "phantom-mri"
    code, out, err = harness("report", "all", "--format", "html", *FOLDERS)
    assert (code, out.strip()) == (0, "Written: reports/report.html"), err
    page = Reader(Path("reports/report.html").read_text())
    tables = page.attributes("data-jump")
    assert "smoke-table1" in tables
    assert "smoke-table7" not in tables  # its data set has no run
    assert not [t for t in tables if not t.startswith("smoke-")]
    cell = next(c for c in page.data["cells"] if c["id"] == "smoke-table1/mae/btmd")
    assert [s["seed"] for s in cell["seeds"]] == [0, 3]
    # A data set without images keeps its column of published numbers.
    absent = next(c for c in page.data["cells"] if c["id"] == "smoke-table1/mae/ham10000")
    assert absent["verdict"]["word"] in ("not run", "collapsed", "unattainable")
    assert "0 of 30 published numbers reproduced" in page.text


def test_all_without_a_run_says_what_to_do(harness: Harness) -> None:
    code, out, err = harness("report", "all", "--format", "html", *FOLDERS)
    assert (code, out) == (2, "")
    assert "No table that ships has a run in runs; train one" in err
    assert not Path("data").exists()


def test_one_table_is_named_after_itself_and_other_formats_are_written_too(
    harness: Harness,
) -> None:
    stores.fill(stores.planned(rows=("mae",), seeds=(0,)))
    options = ("--profile", "smoke", "--datasets", "btmd", "--name", "table1", *FOLDERS)
    code, out, err = harness("report", "table1", "--format", "html,md", *options, "--out", "x")
    assert code == 0, err
    assert {p.name for p in Path("x").iterdir()} >= {"table1.html", "table1.md"}
    assert "x/table1.html" in out


def test_a_named_table_without_runs_shows_what_is_missing(harness: Harness) -> None:
    code, _, err = harness("report", "table7", "table2", "--format", "html", *FOLDERS)
    assert code == 0, err
    page = Reader(Path("reports/report.html").read_text())
    assert "0 of 4 published numbers reproduced" in page.text
    assert "missing" in page.text
    assert not Path("runs").exists()


@pytest.mark.parametrize("names", [("all",), ("table1", "table7")])
def test_several_tables_are_one_page(harness: Harness, names: tuple[str, ...]) -> None:
    code, _, err = harness("report", *names, *FOLDERS)
    assert code == 2
    assert "give --format html" in err
    assert err.count("\n") == 1


def test_all_stands_alone(harness: Harness) -> None:
    code, _, err = harness("report", "all", "table1", "--format", "html", *FOLDERS)
    assert code == 2
    assert "'all' names every table" in err


def test_only_a_report_writes_pages(harness: Harness) -> None:
    code, _, err = harness("run", "table1", "--format", "html", *FOLDERS)
    assert code == 2
    assert "known: md, tex, json, csv" in err


def test_seeds_of_damaged_records_are_not_looked_for() -> None:
    stores.fill(stores.planned(rows=("mae",), seeds=(2,)))
    Path("runs/records/" + "a" * 64 + ".json").write_text("{")
    (plan,) = find.plans(stores.wanted("table1"), ReadOnce(Path("runs")))
    assert plan.seeds == (2,)


def test_the_runs_of_every_profile_are_found() -> None:
    brains = ("phantom-mri",)  # generated images stand in for real ones under smoke alone
    stores.fill(stores.planned(rows=("mae",), seeds=(0,), datasets=brains))
    laptop = stores.fill(
        stores.planned(rows=("mae",), seeds=(1,), datasets=brains, profile=profiles.LAPTOP)
    )
    wanted = find.Wanted(
        names=("table1",),
        profiles=tuple(profiles.PROFILES.values()),
        options=stores.options(datasets=brains),
    )
    found = {p.options.profile.name: p.seeds for p in find.plans(wanted, ReadOnce(Path("runs")))}
    assert found == {"smoke": (0,), "laptop": laptop.seeds}


def test_a_record_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page asks for a record many times; with thousands of runs, reading takes most of it."""
    plan = stores.fill(stores.planned(seeds=(0, 1)))
    read: list[str] = []
    original = Records.read_checked

    def counted(self: Records, key: str) -> object:
        read.append(key)
        return original(self, key)

    monkeypatch.setattr(Records, "read_checked", counted)
    made = build(request("table1"))
    assert sum("confusion" in run for run in made.data["runs"].values()) == 4
    present = [key for key in read if key in {s.key for s in plan.stage_runs}]
    assert sorted(present) == sorted({s.key for s in plan.stage_runs})


def test_runs_on_generated_images_stay_when_real_ones_are_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real data set that is prepared afterwards has no run yet."""
    stores.fill(stores.planned(rows=("mae",), seeds=(0,)))
    read = columns.read_manifest

    def prepared(root: Path, name: str) -> Manifest | None:
        generated = read(root, "phantom-mri")
        if name != "btmd" or generated is None:
            return read(root, name)
        return replace(generated, dataset="btmd", fingerprint="f" * 64)

    monkeypatch.setattr(columns, "read_manifest", prepared)
    wanted = stores.wanted("table1")
    (shown,) = find.plans(wanted, ReadOnce(wanted.options.runs))
    assert {c.used.name for c in shown.columns if c.asked.name == "btmd"} == {"phantom-mri"}
