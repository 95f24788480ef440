"""Ledgers of margins: frozen once, found again under any name, and never withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness import sealed
from harness.errors import UserError
from harness.plan import catalog
from harness.spec.claim import Margin, one_image
from harness.spec.table import Column, Row, Table
from harness.store import margins as ledger
from harness.store.margins import Chosen, TableFile

FILE = TableFile(name="mine", place="aaaaaaaa")
NUMBERS = {"one": "80.47", "two": "81.00"}


def _table(numbers: Mapping[str, str] = NUMBERS, dataset: str = "btmd") -> Table:
    rows = tuple(
        Row(name=n, label=n, stages=None, printed={dataset: t}) for n, t in numbers.items()
    )
    return Table(title="Mine", source="", rows=rows, columns=(Column(dataset=dataset),))


def _chosen(
    value: float = 3.0, numbers: Mapping[str, str] = NUMBERS, dataset: str = "btmd"
) -> dict[str, Chosen]:
    table = _table(numbers, dataset)
    margin = Margin(value=value, source="a test")
    return {dataset: ledger.chosen(table, table.columns[0], margin)}


def test_margin_is_frozen_at_the_first_run(tmp_path: Path) -> None:
    ledger.freeze(tmp_path, FILE, _chosen())
    path = ledger.path_of(tmp_path, FILE)
    before = path.read_bytes()
    assert sealed.whole(before)
    ledger.freeze(tmp_path, FILE, _chosen())
    ledger.freeze(tmp_path, FILE, _chosen(numbers={"two": "81.00"}))  # a part of its rows
    assert path.read_bytes() == before  # nothing new, nothing written
    other = {"btmd": replace(_chosen()["btmd"], margin=Margin(value=2.0, source="seen it"))}
    with pytest.raises(UserError, match=r"± 2 \(seen it\), but ± 3 \(a test\) was frozen"):
        ledger.freeze(tmp_path, FILE, other)
    with pytest.raises(UserError, match="--margin 2"):
        ledger.check(tmp_path, FILE, other)
    ledger.freeze(tmp_path, FILE, {**_chosen(), **_chosen(dataset="busi")})  # a further column
    entries = ledger.read(tmp_path, FILE).entries
    assert [entry.column for entry in entries] == ["btmd", "busi"]


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        (NUMBERS, True),
        ({"two": "81.00", "one": "80.47"}, True),  # in another order
        ({"one": "80.47"}, True),  # a part
        ({**NUMBERS, "three": "70.00"}, True),  # more
        ({"eins": "80.47", "zwei": "81.00"}, True),  # under other names of rows
        ({"one": "80.470", "two": "81"}, True),  # with other zeros
        ({"one": "80.48", "two": "82.00"}, False),  # other numbers
    ],
)
def test_margin_is_found_by_the_numbers_that_it_judges(
    tmp_path: Path, numbers: Mapping[str, str], *, found: bool
) -> None:
    ledger.freeze(tmp_path, FILE, _chosen())
    other_file = TableFile(name="renamed", place="bbbbbbbb")
    if found:
        with pytest.raises(UserError, match="by mine / btmd"):
            ledger.check(tmp_path, other_file, _chosen(4.0, numbers))
    ledgers = ledger.check(tmp_path, other_file, _chosen(3.0, numbers))
    assert len(ledgers.of("btmd", _chosen(3.0, numbers)["btmd"])) == found
    # Another data set is another number.
    assert not ledgers.of("busi", _chosen(3.0, numbers, dataset="busi")["busi"])


def test_renamed_ledger_still_holds(tmp_path: Path) -> None:
    ledger.freeze(tmp_path, FILE, _chosen())
    path = ledger.path_of(tmp_path, FILE)
    path.rename(path.with_name("x.json"))
    other = _chosen(4.0, {"one": "12.00"})  # not even its numbers are as they were
    with pytest.raises(UserError, match="was frozen at the first run"):
        ledger.check(tmp_path, FILE, other)


def test_files_of_one_name_do_not_share(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("")
    here, there = (
        TableFile(name="mine", place=catalog.place(str(tmp_path / folder / "mine.py")))
        for folder in ("here", "there")
    )
    assert ledger.path_of(tmp_path, here) != ledger.path_of(tmp_path, there)
    ledger.freeze(tmp_path, here, _chosen(3.0))
    ledger.freeze(tmp_path, there, _chosen(4.0, {"one": "12.00"}))  # refused if it were shared
    assert catalog.place(str(tmp_path / "here/../here/mine.py")) == here.place
    # A table that ships has one place, however it is named.
    assert catalog.place("table1") == ""
    assert catalog.place(str(catalog.experiments_folder() / "table1.py")) == ""


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b"3.0", b"9.0"),
        lambda text: text[:-20],
        lambda text: b"[]",
        lambda text: text.replace(b"mine", b"your"),
    ],
)
def test_damaged_ledger_is_named_and_set_aside(
    tmp_path: Path, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    ledger.freeze(tmp_path, FILE, _chosen())
    path = ledger.path_of(tmp_path, FILE)
    path.write_bytes(damage(path.read_bytes()))
    (damaged,) = ledger.read(tmp_path, FILE).damaged
    assert damaged.path == str(path)
    # It refuses nothing, since it proves nothing; the next run sets it aside and freezes anew.
    ledger.check(tmp_path, FILE, _chosen(4.0))
    ledger.freeze(tmp_path, FILE, _chosen(4.0))
    assert "shows any more" in capfd.readouterr().err.lower()
    ledgers = ledger.read(tmp_path, FILE)
    assert [entry.margin.value for entry in ledgers.entries] == [4.0]
    assert ledgers.aside == (path.with_name(path.name + ".damaged"),)


def test_damaged_ledger_does_not_free_a_margin_that_another_holds(tmp_path: Path) -> None:
    other_file = TableFile(name="yours", place="bbbbbbbb")
    ledger.freeze(tmp_path, FILE, _chosen())
    ledger.freeze(tmp_path, other_file, _chosen())
    ledger.path_of(tmp_path, FILE).write_bytes(b"[]")
    with pytest.raises(UserError, match="by yours / btmd"):
        ledger.freeze(tmp_path, FILE, _chosen(4.0))


def test_ledger_of_format_1_still_binds(tmp_path: Path) -> None:
    file = TableFile(name="table1")
    content = {
        "format": 1,
        "table": "table1",
        "margins": {
            "btmd": {"value": 0.5, "source": "old", "since": "2026-01-01T00:00:00+00:00"}
            | {"commit": "0" * 40}
        },
    }
    ledger.freeze(tmp_path, FILE, _chosen(3.0, {"one": "1.0"}, dataset="busi"))
    path = ledger.path_of(tmp_path, file)
    path.write_bytes(sealed.seal(content))
    with pytest.raises(UserError, match=r"± 0\.5 \(old\) was frozen"):
        ledger.check(tmp_path, file, _chosen())
    ledger.freeze(tmp_path, file, _chosen(0.5))
    own = [entry for entry in ledger.read(tmp_path, file).entries if entry.own]
    assert next((e.since[:10], bool(e.judges)) for e in own) == ("2026-01-01", False)
    assert len(own) == 2
    assert own[1].judges == _chosen(0.5)["btmd"].judges


def test_shipped_tables_freeze_side_by_side(tmp_path: Path) -> None:
    from harness.verdict.frozen import chosen

    for name in ("table1", "table2", "table3", "table7", "table8"):
        ledger.freeze(tmp_path, TableFile(name=name), chosen(catalog.load(name)[1]))
    assert one_image(1311).value == pytest.approx(100 / 1311)
