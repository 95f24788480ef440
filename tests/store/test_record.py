"""The one reader of records: what it gives back, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UserError
from harness.store import form, predictions
from harness.store.predictions import UnusableError
from harness.store.record import FORMAT, Record, Records
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


def test_the_layout_of_the_file_is_that_of_format_1(tmp_path: Path) -> None:
    """Read by other programs: names and order; what does not apply is left out."""
    content = json.loads(Records(tmp_path).write(_complete()).read_text())
    assert list(content) == [
        *("format", "key", "status", "error", "definition", "result", "provenance"),
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
    store.path(KEY).write_text(content if isinstance(content, str) else json.dumps(content))


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
        ("definition", GONE, "record: object missing required field `definition`"),
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
    _plant(tmp_path, content)
    with pytest.raises(UserError) as caught:
        Records(tmp_path).read(KEY)
    message = str(caught.value)
    assert message.startswith(f"The record {Records(tmp_path).path(KEY)} does not fit its format: ")
    assert told in message
    assert message.endswith("; remove it, or run again with --fresh.")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", r"cannot be read \(truncated\?\)"),
        ('{"format": 1, "key"', r"cannot be read \(truncated\?\)"),
        ("[]", f"has format None, this version reads {FORMAT}"),
        ('{"format": 0}', f"has format 0, this version reads {FORMAT}"),
        ('{"format": 1}', "does not fit its format: record: object missing required field"),
    ],
)
def test_files_of_another_kind_are_refused(content: str, told: str, tmp_path: Path) -> None:
    _plant(tmp_path, content)
    with pytest.raises(UserError, match=f"The record .*{told}.*--fresh"):
        Records(tmp_path).read(KEY)


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
    with pytest.raises(UserError, match="cannot be read") as refused:
        Records(tmp_path).read(KEY)
    assert "\n" not in str(refused.value)


def test_a_record_under_another_key_is_refused(tmp_path: Path) -> None:
    store = Records(tmp_path)
    path = store.write(_complete())
    other = store.path("f" * 64)
    path.rename(other)
    with pytest.raises(UserError, match="holds the record of another key"):
        store.read("f" * 64)
