"""Benchmarks: what they compute, their records, and the page that shows these."""

from __future__ import annotations

import argparse
import functools
import json
import math
from pathlib import Path

import pytest
import torch

from bench import (
    __main__,
    _fake,
    _loop,
    _modes,
    _peaks,
    _plain,
    _record,
    _whole,
    render,
    steps,
    versus,
)
from harness.errors import UserError
from harness.methods.baselines.mae import MAE
from harness.spec import profiles
from tests import tiny


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA GeForce RTX 3090", 71.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("Tesla V100-SXM2-16GB", None),
        ("", None),
    ],
)
def test_a_peak_is_that_of_the_data_sheet_or_unknown(name: str, tflops: float | None) -> None:
    assert _peaks.peak(name) == (None if tflops is None else tflops * 1e12)


def test_a_mode_that_training_does_not_offer_is_none() -> None:
    assert _modes.setting("eager") is not None
    assert _modes.setting("imagined") is None


def test_calls_to_cuda_are_counted_between_the_first_and_the_last_step() -> None:
    before = [("cudaLaunchKernel", 0.0), ("cudaDeviceSynchronize", 1.0)]
    step = [
        (_loop.MARK, 10.0),
        ("cudaLaunchKernel", 11.0),
        ("cuLaunchKernelEx", 12.0),
        ("cudaMemcpyAsync", 13.0),
        ("cudaMemsetAsync", 13.5),
        ("cudaStreamSynchronize", 14.0),
        ("cudaGraphLaunch", 15.0),
        ("aten::add", 16.0),
    ]
    after = [(name, begin + 10) for name, begin in step]
    last = [(_loop.MARK, 30.0), ("cudaStreamSynchronize", 31.0), ("cudaLaunchKernel", 32.0)]
    assert _loop.per_step([*last, *before, *step, *after]) == {
        "launches": 2.0,
        "graphs": 1.0,
        "copies": 2.0,
        "syncs": 1.0,
    }


def test_a_profile_has_the_beginnings_of_steps() -> None:
    clock = _loop.Clock(_loop.Size(profile=profiles.SMOKE, device=torch.device("cpu")))
    clock.start()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
        for _ in range(3):
            for name in _loop.MAKING:
                with clock.making(name):
                    torch.ones(2) + 1
    events = _loop.events_of(profiled)
    marks = [begin for name, begin in events if name == _loop.MARK]
    assert len(marks) == 3 and marks == sorted(set(marks))
    assert sum(name == "aten::add" for name, _ in events) == 3 * len(_loop.MAKING)
    assert set(_loop.per_step(events).values()) == {0.0}


def test_a_kind_of_stage_is_timed_without_passes_for_maps() -> None:
    size = _loop.Size(profile=profiles.SMOKE, device=torch.device("cpu"), steps=2, epochs=2, most=8)
    (kind,) = steps.chosen("msmae-described")
    method = _loop.stage_of(kind, size).method
    assert [epoch for epoch in range(size.last) if method.looks_before(epoch)] == [1]
    found = steps.of(kind, size, peak=1e12)
    assert found["batch"] == 8 and found["mode"] == "eager" and found["kind"] == kind.name
    assert found["images_per_s"] == pytest.approx(8 / (found["step_ms"] / 1000))
    low, high = found["step_ms_range"]
    assert low <= found["step_ms"] <= high
    assert 0 < found["data_share"] < 1
    # 0.001 GFLOP is a millionth of a TFLOP.
    rate = found["gflop_per_image"] / 1000 * found["images_per_s"]
    assert found["tflops_per_s"] == pytest.approx(rate)
    assert found["share_of_peak"] == pytest.approx(rate)
    assert found["launches"] is None and found["syncs"] is None  # without CUDA
    json.dumps(found, allow_nan=False)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(UserError, match="msmae-describe"):
        steps.chosen("mae,msmae-describe")


def test_launches_of_the_fake_device_are_summed_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {
        "mae": {
            "launches": {"data": 3, "forward": 10, "backward": 20, "optimizer": 2},
            "found": [
                ["forward", "read", "a.py:1", "item", 2],
                ["data", "mixed", "a.py:2", "add", 1],
                ["between", "read", "a.py:3", "cpu", 5],
            ],
        },
        "amt": {"error": "Traceback\nValueError: no\n"},
    }
    wanted: list[str] = []

    def timed(words: list[str], place: Path, *, threads: int) -> tuple[float, str]:
        wanted[:] = words[3:]
        Path(words[2]).write_text(json.dumps({name: content[name] for name in words[3:]}))
        return 1.0, ""

    monkeypatch.setattr(_whole, "timed", timed)
    monkeypatch.setattr(_fake, "MODULE", "tests.test_bench")  # a file that is there
    assert _fake.counted(["mae"]) == {"mae": {"fake_launches": 35, "fake_waits": 2}}
    assert wanted == ["mae"]
    with pytest.raises(UserError, match="amt: ValueError: no"):
        _fake.counted(["amt"])
    monkeypatch.setattr(_fake, "MODULE", "tests.nowhere")
    with pytest.raises(UserError, match="leave --fake out"):
        _fake.counted(["mae"])


def test_the_interval_is_that_of_the_logarithms_of_paired_ratios() -> None:
    centre, (low, high) = versus.interval([4.0, 8.0, 2.0], [1.0, 1.0, 1.0])
    assert centre == pytest.approx(4.0)
    half = 4.302653 * math.log(2) / math.sqrt(3)  # t of 2 degrees of freedom at 97.5 %
    assert math.log(high / centre) == pytest.approx(half, rel=1e-5)
    assert math.log(centre / low) == pytest.approx(half, rel=1e-5)


def test_the_plain_model_has_the_harness_models_parameters() -> None:
    size = tiny.ENCODERS.vit
    plain = _plain.MAE(tiny.ENCODERS.image_size, vars(size), 0.75)
    ours = MAE().build(tiny.dataset(), tiny.ENCODERS)

    def shapes(model: torch.nn.Module) -> list[tuple[int, ...]]:
        return sorted(tuple(p.shape) for p in model.parameters() if p.requires_grad)

    assert shapes(plain) == shapes(ours)
    images = torch.randn(4, 3, 32, 32)
    plain(images).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in plain.parameters())
    # The error of the masked patches alone, of which every patch is once in a while.
    assert plain.patches(images).shape == (4, 16, 192)


def _options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    versus.add_options(parser)
    return parser.parse_args(words)


def test_steps_are_rounded_to_whole_epochs_of_the_laptop_profile() -> None:
    usual = versus.setup(_options())
    assert (usual.images, usual.recipe.epochs, usual.recipe.batch_size) == (3000, 12, 64)
    assert usual.steps == 552 and usual.workers == usual.threads
    few = versus.setup(_options("--images", "640", "--steps", "24"))
    assert (few.recipe.epochs, few.steps) == (2, 20)
    for words in (("--images", "63"), ("--images", "3001"), ("--pairs", "1"), ("--threads", "0")):
        with pytest.raises(UserError, match=words[0]):
            versus.setup(_options(*words))


def test_a_comparison_says_what_the_floor_is() -> None:
    chosen = versus.setup(_options("--images", "64", "--steps", "10", "--pairs", "2"))
    pair = {"plain_s": 8.0, "harness_s": 2.0, "train_s": 1.0, "prepare_s": 1.0}
    found = versus.compared("official", chosen, [pair, pair], alone=0.5 / 640)
    assert (found["ratio"], found["ratio_without_preparing"]) == (
        pytest.approx(4),
        pytest.approx(8),
    )
    assert found["interval"] == [pytest.approx(4), pytest.approx(4)]
    assert (found["harness_images_per_s"], found["plain_images_per_s"]) == (320.0, 80.0)
    assert found["floor_s"] == 0.5
    assert (found["model_share"], found["floor_ratio"]) == (0.25, 16.0)
    assert versus.last_line([{"what": "data path"}, found]) == "ratio 4.00 [4.00, 4.00]"


@pytest.mark.slow
def test_versus_ends_with_the_ratio_and_writes_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versus, "shares", functools.partial(versus.shares, steps=2, epochs=1))
    words = ["--generated", "--images", "64", "--steps", "1", "--pairs", "2", "--case", "official"]
    assert __main__.main(["versus", *words, "--threads", "1", "--out", str(tmp_path)]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    record = json.loads((tmp_path / "versus.json").read_text())
    *shares, found = record["results"]
    assert {one["kind"] for one in shares} == set(versus.SHARES) and len(shares) == 6
    assert last == versus.last_line([found]) and last.startswith(f"ratio {found['ratio']:.2f} [")
    assert len(found["pairs"]) == 2 and found["epochs"] == 1
    assert all(pair["harness_s"] > 0 and pair["plain_s"] > 0 for pair in found["pairs"])
    assert record["arguments"] == [*words, "--threads", "1"]
    assert record["made"]["commit"] and record["made"]["cpu"] and record["made"]["versions"]


def test_a_process_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ended with 3: no such thing"):
        _whole.timed(
            ["-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"],
            tmp_path,
            threads=1,
        )


def test_names_and_options_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["nothing"]) == 2
    assert __main__.main(["steps", "versus", "--pairs", "3"]) == 2
    assert __main__.main(["steps", "--only", "nothing"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("No benchmark nothing; known: ")
    assert told[1].startswith("Options belong to one benchmark; known: ")
    assert told[2].startswith("bench steps: No kind of stage 'nothing'")
    assert __main__.main(["--help"]) == 0
    assert "known: contrastive, fidelity, gpu, " in capsys.readouterr().out.lower()


def test_without_a_name_what_has_its_own_command_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    monkeypatch.setattr(__main__, "_run", lambda name, _: started.append(name) or 0)
    assert __main__.main([]) == 0
    assert {"versus", "steps", "startup"} <= set(started)
    assert not {"gpu", "render"} & set(started)


def test_a_record_and_its_page_say_where_it_was_made(tmp_path: Path) -> None:
    results = [
        {"what": "a|b", "ratio": 3.14159, "interval": [1.0, 2.0], "inner": {"x": None}},
        {"what": "c", "pairs": [{"s": 1234.5}, {"s": 2.0}]},
    ]
    made = {**_record.facts(), "load": 0.5}
    path = _record.write("twins", results, made=made, folder=tmp_path / "bench")
    record = json.loads(path.read_text())
    assert record["results"] == results and record["made"]["sources"] == _record.sources()
    page = render.rendered(tmp_path)
    assert "## twins\n" in page and made["cpu"] in page and made["commit"][:12] in page
    assert "| a\\|b | 3.142 | [1, 2] | – |" in page
    assert "pairs of c:\n\n| s |\n| --- |\n| 1234 |\n| 2 |\n" in page
    assert "busy" not in page
    _record.write("twins", results, made={**made, "load": 9.0}, folder=tmp_path / "bench")
    assert "load 9 (**busy: no final figures**)" in render.rendered(tmp_path)
    assert render.main(["--reports", str(tmp_path)]) == 0
    assert (tmp_path / "bench.md").read_text() == render.rendered(tmp_path)


def test_a_page_without_records_says_so(tmp_path: Path) -> None:
    assert render.rendered(tmp_path).endswith("There are no records.\n")


def test_where_the_record_goes_is_no_part_of_it() -> None:
    assert __main__.told(["--pairs", "3", "--out", "x", "--case", "there"]) == [
        "--pairs",
        "3",
        "--case",
        "there",
    ]
    assert __main__.told(["--out=x", "--generated"]) == ["--generated"]
