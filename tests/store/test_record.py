"""The one reader of records: what it gives back, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import sealed
from harness.errors import Damaged, UserError
from harness.store import form, predictions
from harness.store.predictions import UnusableError
from harness.store.record import Record, Records
from harness.store.result import (
    EpochEvaluation,
    Evaluation,
    Latency,
    ParameterCount,
    StageCost,
    StepMemory,
)
from tests import records

KEY = "a" * 64


def _complete() -> Record:
    """Return a record in which every field is given."""
    point = EpochEvaluation(epoch=1, metrics={"f1": 0.5, "hd95": None}, correct=2, collapsed=False)
    once = EpochEvaluation(metrics={"accuracy": 0.25}, correct=1, collapsed=True)
    passes = {name: {"thop-macs": 1.5} for name in ("deployed", "training", "step")}
    memory = StepMemory(parameter_bytes=1, activation_bytes=2, peak_bytes=3, batch=4)
    latency = Latency(
        n=30,
        p50=0.1,
        p90=0.2,
        p99=0.3,
        iqr=0.05,
        median_95=None,
        processes=(0.1,),
        noisy=("alone",),
        batch=1,
        precision="fp32",
    )
    return Record(
        key=KEY,
        status="done",
        definition={"dataset": "btmd", "stages": [{"recipe": {"epochs": 2}}]},
        result=records.result(
            parameters=ParameterCount(total=7, trainable=7),
            cost=StageCost(**passes, memory=memory),
            probes={"knn": Evaluation(n=4, last=once, best=once)},
            evaluation=Evaluation(n=4, classes=(3, 1), lesions=2, last=point, best=point),
            predictions="d" * 64,
        ),
        provenance=records.provenance(micro_batch=8, peak_bytes=9, latency=latency),
    )


@pytest.mark.parametrize(
    "record",
    [
        _complete(),
        records.record(KEY, {}),
        records.record(KEY, {}, failed="DivergedError: nan"),
    ],
    ids=["complete", "bare", "failed"],
)
def test_a_record_is_read_as_it_was_written(record: Record, tmp_path: Path) -> None:
    store = Records(tmp_path)
    text = store.write(record).read_text()
    found = store.read(KEY)
    assert found == record
    assert found.digest == record.digest
    assert store.write(found).read_text() == text


def test_the_layout_of_the_file_is_that_of_format_2(tmp_path: Path) -> None:
    """Read by other programs: names and order; what does not apply is left out."""
    content = json.loads(Records(tmp_path).write(_complete()).read_text())
    assert list(content) == [
        *("format", "key", "status", "error", "definition", "result", "provenance", "digest"),
    ]
    result = content["result"]
    names = "parameters cost images weights history probes evaluation predictions"
    assert list(result) == names.split()
    assert list(result["evaluation"]) == ["n", "classes", "lesions", "last", "best"]
    assert list(result["evaluation"]["last"]) == ["epoch", "metrics", "correct", "collapsed"]
    assert result["evaluation"]["last"]["metrics"] == {"f1": 0.5, "hd95": None}
    assert list(result["probes"]["knn"]) == ["n", "last", "best"]
    assert list(result["probes"]["knn"]["last"]) == ["metrics", "correct", "collapsed"]
    assert list(result["cost"]) == ["deployed", "training", "step", "memory"]
    names = "commit dirty sources versions device started seconds micro_batch peak_bytes latency"
    assert list(content["provenance"]) == names.split()
    assert content["provenance"]["latency"]["median_95"] is None
    failed = records.record(KEY, {}, failed="no")
    assert failed.to_json()["result"] == {}
    assert list(failed.to_json()["provenance"]) == names.split()[:7]


def _plant(folder: Path, content: Any) -> None:
    form.mark(folder)
    store = Records(folder)
    store.path(KEY).parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    store.path(KEY).write_bytes(text if isinstance(text, bytes) else text.encode())


GONE = object()


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("result.images", "4", "result.images: expected `int`, got `str`"),
        ("result.weights", GONE, "result: object missing required field `weights`"),
        ("result.evaluation.last.metrics.f1", "0.5", "result.evaluation.last.metrics[...]: "),
        ("result.evaluation.best.collapsed", 1, "result.evaluation.best.collapsed: "),
        ("result.history", {}, "result.history: expected `array`, got `object`"),
        ("provenance.dirty", "no", "provenance.dirty: expected `bool`, got `str`"),
        ("provenance.latency.p50", None, "provenance.latency.p50: expected `float`"),
        ("status", "half", "status: invalid enum value 'half'"),
        ("definition", GONE, "content: object missing required field `definition`"),
        ("result", {}, "result: object missing required field"),
        ("result", None, "result is null"),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    place: str, value: object, told: str, tmp_path: Path
) -> None:
    content = json.loads(json.dumps(_complete().to_json()))
    *parents, name = place.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    if value is GONE:
        del inner[name]
    else:
        inner[name] = value
    for sealing in (sealed.seal, _of_format_1):
        _plant(tmp_path, sealing(content))
        with pytest.raises(Damaged) as caught:
            Records(tmp_path).read_checked(KEY)
        message = str(caught.value)
        path = Records(tmp_path).path(KEY)
        assert message.startswith(f"The record {path} does not fit its format: ")
        assert told in message
        assert "\n" not in message and "fresh" not in message and "remove" not in message
        assert Records(tmp_path).read(KEY) is None


def _of_format_1(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (content | {"format": 1}).items() if name != "digest"}


@pytest.mark.parametrize("record", [_complete(), records.record(KEY, {}, failed="no")])
def test_every_flipped_bit_is_found(record: Record, tmp_path: Path) -> None:
    path = Records(tmp_path).write(record)
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (0, 3, 6):
            path.write_bytes(
                content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
            )
            try:
                Records(tmp_path).read_checked(KEY)
            except Damaged:
                continue
            pytest.fail("a changed byte was not found")


def test_a_damaged_record_counts_as_missing_and_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Records(tmp_path)
    path = store.write(_complete())
    path.write_text(path.read_text().replace('"images": 4', '"images": 5'))
    assert store.read(KEY) is None and store.read(KEY) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and "its digest is another" in line
    (aside,) = store.set_aside(KEY)
    assert aside.name == f"{KEY}.json.damaged" and not path.exists()
    assert store.set_aside(KEY) == []


def test_records_of_format_1_are_read(tmp_path: Path) -> None:
    _plant(tmp_path, _of_format_1(_complete().to_json()))
    found = Records(tmp_path).read_checked(KEY)
    assert found == _complete() and found.digest == _complete().digest


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("result.images", -1),
        ("result.evaluation.n", -1),
        ("provenance.seconds", -1.0),
        ("result.evaluation.last.correct", 10**400),
        ("result.parameters.total", 2**60),
    ],
)
def test_numbers_out_of_range_are_damage(place: str, value: Any, tmp_path: Path) -> None:
    content = json.loads(json.dumps(_of_format_1(_complete().to_json())))
    *parents, name = place.split(".")
    inner = content
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    _plant(tmp_path, content)
    with pytest.raises(Damaged):
        Records(tmp_path).read_checked(KEY)


def test_a_record_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    later = sealed.seal(_complete().to_json() | {"format": 9})
    _plant(tmp_path, later)
    with pytest.raises(UserError, match="a later version of the harness wrote it") as refused:
        Records(tmp_path).read(KEY)
    assert not isinstance(refused.value, Damaged)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", r"cannot be read \(truncated\?\)"),
        ('{"format": 1, "key"', r"cannot be read \(truncated\?\)"),
        ("[]", "holds no record"),
        ('{"format": 0}', "has format 0 and was changed"),
        ('{"format": 2}', "was changed after it was written"),
        ('{"format": 1}', "does not fit its format: content: object missing required field"),
    ],
)
def test_files_of_another_kind_are_refused(content: str, told: str, tmp_path: Path) -> None:
    _plant(tmp_path, content)
    with pytest.raises(Damaged, match=f"The record .*{told}"):
        Records(tmp_path).read_checked(KEY)


def test_no_record_is_none(tmp_path: Path) -> None:
    assert Records(tmp_path).read(KEY) is None


def test_a_stage_without_an_evaluation_says_so() -> None:
    record = records.record(KEY, {})
    with pytest.raises(UserError, match="Run aaaaaaaaaaaa has no evaluation"):
        record.evaluation()
    with pytest.raises(UserError, match="has no probe 'knn'"):
        record.evaluation("knn")
    assert _complete().evaluation("knn").n == 4


def test_predictions_are_checked_against_the_record(tmp_path: Path) -> None:
    store, path = Records(tmp_path), Records(tmp_path).predictions_path(KEY)
    arrays = {"last": np.eye(2, dtype=np.float32), "side": np.asarray(3), "names": np.array(["a"])}
    with pytest.raises(UnusableError, match=f"{path} are missing"):
        predictions.read(path, "")
    digest = store.write_predictions(KEY, arrays)
    found = predictions.read(path, digest)
    assert {n: (a.dtype, a.tolist()) for n, a in found.items()} == {
        n: (a.dtype, a.tolist()) for n, a in arrays.items()
    }
    with pytest.raises(UnusableError, match="are not those that the record names"):
        predictions.read(path, "0" * 64)
    content = path.read_bytes()
    for cut in (0, 10, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(UnusableError, match="cannot be read"):
            predictions.read(path, digest)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"format": 1, "seconds": NaN}', '{"format": 1, "seconds": 1e999}', "\ud800"],
    ids=["deep", "nan", "infinite", "surrogate"],
)
def test_json_that_no_program_should_write_is_refused_in_one_line(
    tmp_path: Path, text: str
) -> None:
    form.mark(tmp_path)
    path = Records(tmp_path).path(KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(Damaged, match=r"cannot be read|does not fit its format") as refused:
        Records(tmp_path).read_checked(KEY)
    assert "\n" not in str(refused.value)


def test_a_record_under_another_key_is_refused(tmp_path: Path) -> None:
    store = Records(tmp_path)
    path = store.write(_complete())
    other = store.path("f" * 64)
    path.rename(other)
    with pytest.raises(Damaged, match="holds the record of another key"):
        store.read_checked("f" * 64)
