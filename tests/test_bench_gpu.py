"""``python -m bench gpu``: its parts, at tiny size on the CPU, and how they go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import _hours, _latency, _modes, _parts, _record, gpu
from bench._parts import LONGEST, Context, Item, Part
from bench._stages import kinds
from harness.spec import profiles

PARTS = _parts.parts()


def test_the_parts_cover_everything_and_take_eight_minutes_at_most() -> None:
    names = [(part.record, item.name) for part in PARTS for item in part.items]
    assert len(set(names)) == len(names)
    assert len({part.name for part in PARTS}) == len(PARTS)
    speeds = {name for record, name in names if record == "speed"}
    assert speeds == {f"{kind.name}/{mode}" for kind in kinds() for mode in _modes.MODES}
    assert sum(record == "latency" for record, _ in names) == 9
    assert {part.name: part.seconds for part in PARTS if part.seconds > LONGEST} == {}
    assert (_latency.TOKENS, _latency.BATCHES) == ((197, 50), (1, 64, 256))


def test_a_dry_run_lists_the_parts_with_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--dry-run"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [part.name for part in PARTS]
    assert all(f" {part.seconds} s " in line for part, line in zip(PARTS, lines, strict=True))
    assert total.startswith(f"{len(PARTS)} parts, about {sum(p.seconds for p in PARTS)} s")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "eager-mask"], "Did you mean 'eager-masked'"),
        (["--device", "cpu"], "add --tiny"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(gpu.UserError, match=message):
        gpu.main(words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_nothing_is_measured() -> None:
    with pytest.raises(gpu.UserError, match="no CUDA device"):
        gpu.main(["--part", "correctness"])


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_runs_at_tiny_size_and_writes_nothing(
    part: Part, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--part", part.name, "--device", "cpu", "--tiny", "--out", str(tmp_path)]
    assert gpu.main(words) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["item"] for one in found] == [item.name for item in part.items][: part.tried]
    assert not [one for one in found if "failed" in one]
    skipped = [one["skipped"] for one in found if "skipped" in one]
    assert all(reason.startswith("not available: ") for reason in skipped)
    if part.name.startswith(("compiled", "captured")) and skipped:
        return  # not offered, or not on a CPU
    assert len(skipped) == (part.name == "correctness")  # captured steps
    if part.record == "speed":
        assert all(one["images_per_s"] > 0 and one["tflops_per_s"] > 0 for one in found)
    if part.record == "latency":
        assert all(all(ms > 0 for ms in one["ms"]) for one in found)
    if part.record == "stage":
        assert [stage["status"] for stage in found[0]["stages"]] == ["done", "done"]
    if part.record == "hours":
        assert found[0]["totals"]["eager"]["hours"] > 0 and found[0]["left_out"] == 0
    assert not list(tmp_path.iterdir())


def test_steps_that_were_eager_after_all_are_not_taken_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_modes, "setting", lambda mode: {})

    def listener(lines: list[str]) -> dict[str, Any]:
        lines.append("steps are not captured: no device")
        return {}

    monkeypatch.setattr(_modes, "listener", listener)
    context = Context(device=torch.device("cpu"), tiny=True)
    items = {i.name: i for part in PARTS for i in part.items}
    found = items["mae/captured"].run(context)
    assert found["skipped"] == "not available: steps are not captured: no device"
    assert "skipped" not in items["mae/eager"].run(context)


def test_a_stage_that_needs_an_absent_package_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.partition(".")[0] == "lightly"] or ["lightly"]:
        monkeypatch.setitem(sys.modules, name, None)
    context = Context(device=torch.device("cpu"), tiny=True)
    (item,) = [i for part in PARTS for i in part.items if i.name == "simclr/eager"]
    assert "lightly" in item.run(context)["skipped"]


def _part(calls: list[str], **results: dict[str, Any]) -> Part:
    def item(name: str, result: dict[str, Any]) -> Item:
        def run(context: Context) -> dict[str, Any]:
            del context
            calls.append(name)
            if "raises" in result:
                raise RuntimeError(result["raises"])
            return result

        return Item(name, 100, run)

    return Part("toy", "toy", "", tuple(item(*pair) for pair in results.items()))


def _run(part: Part, out: Path, *words: str) -> int:
    args = gpu._parser().parse_args(["--device", "cpu", "--out", str(out), *words])
    return gpu._run(part, args)


def test_what_is_on_record_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    part = _part(calls, one={"x": 1}, two={"raises": "out of luck\nmore"}, three={"skipped": "no"})
    assert _run(part, tmp_path) == 1
    assert calls == ["one", "two", "three"]
    record = json.loads((tmp_path / "toy.json").read_text())
    (made,) = record["made"]
    assert record["made"][made]["device"]["kind"] == "cpu"
    assert record["items"]["one"]["made"] == made
    assert record["items"]["two"]["result"] == {"failed": "RuntimeError: out of luck"}
    calls.clear()
    _run(part, tmp_path)
    assert calls == ["two", "three"]
    calls.clear()
    _run(part, tmp_path, "--again")
    assert calls == ["one", "two", "three"]
    calls.clear()
    monkeypatch.setattr(_record, "sources", lambda: "f" * 64)
    _run(_part(calls, one={"x": 2}), tmp_path)
    assert calls == ["one"]
    record = json.loads((tmp_path / "toy.json").read_text())
    assert record["items"]["one"]["result"]["x"] == 2 and len(record["made"]) == 2


def test_a_part_stops_when_its_time_is_over_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    part = _part(calls, one={"x": 1}, two={"x": 2}, three={"x": 3})
    monkeypatch.setattr(gpu, "LONGEST", 150)
    now = [0.0]
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    ran = gpu._measured

    def slow(item: Item, context: Context) -> dict[str, Any]:
        now[0] += 60
        return ran(item, context)

    monkeypatch.setattr(gpu, "_measured", slow)
    assert _run(part, tmp_path) == 0
    assert calls == ["one"]
    assert _run(part, tmp_path) == 0
    assert calls == ["one", "two"]
    assert _run(part, tmp_path) == 0
    assert calls == ["one", "two", "three"]


def test_losses_that_disagree_are_an_error(tmp_path: Path) -> None:
    assert _run(_part([], one={"agrees": True}), tmp_path) == 0
    assert _run(_part([], two={"agrees": False}), tmp_path) == 1


def test_every_kind_is_most_like_itself() -> None:
    known = kinds()
    found = {kind.name: _hours.kind_of(kind.stage, known, profiles.PAPER) for kind in known}
    for kind in known:
        like = found[kind.name]
        assert like is not None and like.stage == kind.stage


@pytest.mark.slow
def test_hours_are_flops_over_the_speed_of_their_kind() -> None:
    rates = _hours.Rates(
        profile=profiles.SMOKE,
        found={"mae/eager": {"tflops_per_s": 1.0}, "finetune-plain/eager": {"tflops_per_s": 0.5}},
        tables=("table1",),
        rows=("mae",),
        datasets=("btmd",),
    )
    found = _hours.extrapolated(rates)
    pretrain, finetune = found["kinds"]
    assert (pretrain["kind"], finetune["kind"]) == ("mae", "finetune-plain")
    assert pretrain["eager_hours"] == pytest.approx(pretrain["pflop"] * 1000 / 3600)
    assert finetune["eager_hours"] == pytest.approx(finetune["pflop"] * 2000 / 3600)
    total = pretrain["eager_hours"] + finetune["eager_hours"]
    none = {"hours": None, "stages": 0}
    eager = {"hours": pytest.approx(total), "stages": 2}
    assert found["totals"] == {"eager": eager, "compiled": none, "captured": none}
    assert found["stages"] == 2 and found["left_out"] == 0


def test_without_speeds_there_are_no_hours() -> None:
    found = _hours.extrapolated(_hours.Rates(profile=profiles.PAPER, found={}))
    assert found["skipped"].startswith("no speed is on record")
