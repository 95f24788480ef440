"""One stable name stands for one type: copies of it are equal, others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.plan import catalog
from harness.plan.options import Options
from harness.plan.plan import make
from harness.spec.profiles import PAPER
from harness.spec.table import Table

METHOD = '''"""A table of one's own."""

from dataclasses import dataclass
from typing import ClassVar

from harness.spec.backbones import VIT
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table

STRENGTH = {strength}


@dataclass(frozen=True, kw_only=True)
class Mine:
    """Settings."""

    key_name: ClassVar[str] = "{name}"
    backbone: ClassVar = VIT
    rate: float = 0.5

    def build(self, dataset, encoders):
        """Build a task."""
        return STRENGTH


STAGE = Stage(phase="pretrain", method=Mine(), recipe=Recipe(epochs=1, batch_size=8, base_lr=0.1))
EXPERIMENT = Table(
    title="{title}",
    source="",
    rows=(Row(name="mine", label="Mine", stages=(STAGE, STAGE)),),
    columns=(Column(dataset="btmd"),),
)
'''


def _write(path: Path, *, name: str, strength: int = 1, title: str = "T") -> Path:
    path.write_text(METHOD.format(name=name, strength=strength, title=title))
    return path


def _keys(table: Table) -> list[str]:
    nowhere = Path("nowhere")
    options = Options(profile=PAPER, data=nowhere, runs=nowhere, unprepared=True)
    return [unit.run.key() for unit in make("t", table, options).cell_runs]


@pytest.mark.usefixtures("ten_times")
def test_two_files_with_the_same_method_share_its_keys(tmp_path: Path) -> None:
    one = catalog.load(str(_write(tmp_path / "one.py", name="test.copied")))[1]
    two = catalog.load(str(_write(tmp_path / "two.py", name="test.copied", title="Other")))[1]
    assert type(one.rows[0].chain()[0].method) is not type(two.rows[0].chain()[0].method)
    assert _keys(one) == _keys(two)


@pytest.mark.usefixtures("ten_times")
def test_unequal_types_of_one_name_are_refused_with_both_files(tmp_path: Path) -> None:
    first = catalog.load(str(_write(tmp_path / "first.py", name="test.differs")))
    path = _write(tmp_path / "second.py", name="test.differs", strength=2)
    with pytest.raises(UserError) as refused:
        catalog.load(str(path))
    assert first
    message = str(refused.value)
    assert "'test.differs'" in message
    assert "first.py" in message
    assert "second.py" in message
    assert "\n" not in message
    # Under a name of its own it is another experiment.
    path = _write(tmp_path / "second.py", name="test.differs.second", strength=2)
    assert _keys(catalog.load(str(path))[1]) != _keys(first[1])


def test_an_edited_file_can_be_loaded_again(tmp_path: Path) -> None:
    tables = []
    for strength in (1, 2, 3):
        path = _write(tmp_path / "edited.py", name="test.edited", strength=strength)
        tables.append(catalog.load(str(path))[1])
    assert len({tuple(_keys(table)) for table in tables}) == 1


def test_a_user_s_type_may_not_take_the_name_of_a_shipped_one(tmp_path: Path) -> None:
    shipped = catalog.load("table1")
    with pytest.raises(UserError, match="named 'mae' and differ"):
        catalog.load(str(_write(tmp_path / "mine.py", name="mae")))
    assert shipped
