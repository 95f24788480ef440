"""Counting multiplications: the paper's numbers, other counters, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness.cli.main import main
from harness.cost import check, models
from harness.cost.conventions import CONVENTIONS
from harness.cost.count import Norm, UncountedError, count
from harness.cost.passes import StagePasses
from harness.cost.stage import META, measure, of_stage
from harness.data import registry
from harness.errors import UserError
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.report.tracking_plan import Source, mirrors
from harness.spec.profiles import PAPER, PROFILES, SMOKE

FIVE = registry.find("messidor2")
SIX = {
    197: {"thop-macs": "16.86", "fvcore-macs": "17.58", "torch-flops": "35.13"},
    50: {"thop-macs": "4.37", "fvcore-macs": "4.41", "torch-flops": "8.82"},
}


@torch.library.custom_op("msmae_test::product", mutates_args=())
def product(a: Tensor, b: Tensor) -> Tensor:
    """Stand for a fused kernel that no counter knows."""
    return a @ b


@product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


@pytest.mark.slow
def test_vit_b_costs_what_the_paper_and_the_other_counters_say() -> None:
    cost = measure(models.find("vit_base_patch16"), FIVE, PAPER.backbones, tokens=(197, 50))
    for one in cost.passes:
        assert one.tokens is not None
        shown = {name: f"{value / 1e9:.2f}" for name, value in one.forward.items()}
        assert shown == SIX[one.tokens]
    whole, kept = (p.forward["thop-macs"] for p in cost.passes)
    assert f"{100 * (kept / whole - 1):.1f}" == "-74.1"
    assert cost.parameters["total"] == cost.parameters["trainable"] == 85_802_501


@pytest.mark.parametrize("tokens", [197, 50, 2])
def test_vit_b_agrees_with_the_closed_form(tokens: int) -> None:
    work = StagePasses(models.find("vit").stage, FIVE, PAPER.backbones, META, 1)
    counted = count(work.task, work.deployed(tokens)).total
    assert counted == check.vit_products(PAPER.backbones.vit, 224, 5, tokens)


@pytest.mark.parametrize(
    "name",
    [
        *("swin_tiny", "resnet50"),
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("vit_base_patch16", "mae", "msmae")),
    ],
)
def test_counters_agree(name: str) -> None:
    lines = list(check.compare(models.find(name), FIVE, PAPER.backbones))
    assert all(fine for _, fine in lines), lines
    # They agree to the last digit once what is named is left out.
    assert all("+0.000 %" in line for line, _ in lines), lines
    apart = {"resnet50": "adaptive_avg_pool2d", "msmae": "drawing masks"}
    assert (apart.get(name, "agreement") in lines[1][0]) == (name in apart)


@pytest.mark.parametrize("tokens", [65, 17])
def test_thop_itself_agrees_where_layer_norm_is_plain(tokens: int) -> None:
    thop = pytest.importorskip("thop")
    work = StagePasses(models.find("vit").stage, FIVE, SMOKE.backbones, torch.device("cpu"), 1)
    forward = work.deployed(tokens)
    ours = CONVENTIONS["thop-macs"].of(count(work.task, forward))
    work.task.forward = lambda _: forward()  # type: ignore[method-assign]
    assert ours == thop.profile(work.task, (work.batch.images[0],), verbose=False)[0]


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_every_row_of_table_1_can_be_counted_in_every_profile(profile: str) -> None:
    for model in models.models().values():
        cost = measure(model, FIVE, PROFILES[profile].backbones)
        for one in cost.passes:
            assert all(value > 0 for value in one.forward.values())
            assert one.step["torch-flops"] > 1.5 * one.forward["torch-flops"]


def test_masks_in_finetuning_keep_a_quarter_of_the_patches() -> None:
    masked = measure(models.find("msmae.finetune"), FIVE, PAPER.backbones)
    training = {p.name: p for p in masked.passes}["training forward"]
    deployed = {p.name: p for p in masked.passes}["deployed forward"]
    assert f"{training.forward['thop-macs'] / 1e9:.2f}" == SIX[50]["thop-macs"]
    assert f"{deployed.forward['thop-macs'] / 1e9:.2f}" == SIX[197]["thop-macs"]


def test_layer_norm_counts_whatever_its_class() -> None:
    class Norms(nn.LayerNorm):
        """As timm does it; thop skips it."""

    images = torch.empty(2, 3, 8, device=META)
    tallies = []
    for kind in (nn.LayerNorm, Norms):
        layer = kind(8, device=META)
        tallies.append(count(layer, lambda layer=layer: layer(images)))  # type: ignore[misc]
    assert tallies[0] == tallies[1]
    assert tallies[0].norms == {Norm(affine=True, running=False): 48}
    costs = {name: c.of(tallies[0]) for name, c in CONVENTIONS.items()}
    assert costs == {"thop-macs": 4 * 48, "fvcore-macs": 5 * 48, "torch-flops": 0}


def _attention(query: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(query, query, query)


@pytest.mark.parametrize(
    ("forward", "macs"),
    [
        (lambda a: a @ a.transpose(1, 2), 2 * 3 * 3 * 4),
        (lambda a: torch.einsum("bij,bkj->bik", a, a), 2 * 3 * 3 * 4),
        (lambda a: torch.baddbmm(a @ a.transpose(1, 2), a, a.transpose(1, 2)), 2 * 72),
        (lambda a: a[0] @ a[0, 0], 3 * 4),
        (lambda a: torch.dot(a[0, 0], a[0, 1]), 4),
        (_attention, 2 * 3 * 3 * (4 + 4)),
    ],
    ids=["matmul", "einsum", "baddbmm", "mv", "dot", "attention"],
)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_products_of_activations(
    forward: Callable[[Tensor], Tensor], macs: int, device: str
) -> None:
    values = torch.zeros(2, 3, 4, device=device)
    tally = count(nn.Identity(), lambda: forward(values))
    assert tally.macs == {"products": macs}
    assert CONVENTIONS["thop-macs"].of(tally) == 0


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_and_their_gradients(transposed: bool, groups: int) -> None:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(4, 6, 3, stride=2, groups=groups, device=META)
    images = torch.empty(2, 4, 9, 9, device=META, requires_grad=True)
    made = layer(images)
    elements = images.numel() if transposed else made.numel()
    macs = elements * math.prod(layer.weight.shape[1:])
    assert count(layer, lambda: layer(images)).macs == {"convolution": macs}
    step = count(layer, lambda: layer(images).sum(), backward=True)
    assert step.macs == {"convolution": 3 * macs}
    if groups == 1:  # torch's counter forgets groups in the gradient of the weight
        assert 2 * step.total == check.torch_flops(lambda: layer(images).sum(), backward=True)


def test_a_linear_layer_is_one_however_its_weight_is_cut() -> None:
    layer = nn.Linear(4, 6, device=META)
    values = torch.empty(2, 3, 4, device=META)
    half = count(layer, lambda: nn.functional.linear(values, layer.weight[:3]))
    assert count(layer, lambda: layer(values)).macs == {"linear": 2 * 3 * 4 * 6}
    assert half.macs == {"linear": 2 * 3 * 4 * 3}


def test_operators_over_lists_of_tensors_are_free_if_each_is() -> None:
    values = [torch.zeros(3, device=META) for _ in range(2)]
    tally = count(nn.Identity(), lambda: torch._foreach_lerp_(values, values, 0.5))
    assert tally.total == 0


def test_an_operator_without_a_formula_is_refused_by_name() -> None:
    a, b = torch.empty(2, 3, device=META), torch.empty(3, 4, device=META)
    with pytest.raises(UncountedError, match=r"msmae_test\.product.*no formula"):
        count(nn.Identity(), lambda: product(a, b))
    with pytest.raises(UncountedError, match=r"aten\._cdist_forward"):
        count(nn.Identity(), lambda: torch.cdist(a, a))


@pytest.mark.parametrize("tokens", [1, 198])
def test_tokens_that_cannot_be(tokens: int) -> None:
    with pytest.raises(UserError, match="allowed are 2 to 197"):
        measure(models.find("vit"), FIVE, PAPER.backbones, tokens=(tokens,))


def test_rows_of_other_tables_have_names_too() -> None:
    name, table = catalog.load("table3")
    for row in table.rows:
        assert models.find(f"{name}/{row.name}.finetune").stage == row.chain()[-1]
    with pytest.raises(UserError, match="No model 'sam'"):
        models.find("table3/sam")
    with pytest.raises(UserError, match="write TABLE/ROW"):
        models.find("/sam")


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cost.json"
    code = main(["cost", "vit_base_patch16", "--tokens", "197,50", "--json", str(path)])
    out = capsys.readouterr().out
    assert code == 0
    for shown in SIX.values():
        line = next(x for x in out.splitlines() if all(f" {v} " in x for v in shown.values()))
        assert "deployed forward" in line
    assert "−74.1 %" in out and "85.80 M parameters" in out
    written = json.loads(path.read_text())
    passes = written["models"][0]["passes"]
    assert [p["tokens"] for p in passes] == [197, 50]
    assert round(passes[1]["change"]["thop-macs"], 3) == -0.741
    assert written["classes"] == 5 and "commit" in written


def test_the_command_compares(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cost", "mae", "--compare", "msmae", "--convention", "fvcore-macs"]
    assert main([*words, "--profile", SMOKE.name]) == 0
    out = capsys.readouterr().out
    assert "msmae" in out and "fvcore-macs" in out and "thop" not in out and " % " in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("vitb",), "No model 'vitb'. Did you mean 'vit'?"),
        (("swin_tiny", "--tokens", "50"), "cannot leave patches out"),
        (("mae", "--tokens", "50"), "ask for its fine-tuning"),
        (("vit", "--convention", "thop"), "Did you mean 'thop-macs'?"),
        (("vit", "--profile", "larg"), "No profile 'larg'"),
    ],
)
def test_mistakes_get_one_line(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *words]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


@pytest.mark.slow
def test_every_run_has_its_cost_in_the_record_and_as_metrics(tmp_path: Path) -> None:
    words = "run table1 --profile smoke --datasets phantom-mri --rows mae --track off"
    sets = ["recipe.epochs=1", "recipe.warmup_epochs=0"]
    assert main([*words.split(), *(word for one in sets for word in ("--set", one))]) == 0
    options = Options(
        profile=SMOKE,
        datasets=("phantom-mri",),
        rows=("mae",),
        overrides=tuple(sets),
        data=tmp_path / "data",
        runs=tmp_path / "runs",
    )
    run, *_ = mirrors(Source(plan=plan.make(*catalog.load("table1"), options)))
    found = {name: value for name, value in run.metrics.items() if name.startswith("cost/")}
    counted = measure(models.find("mae.finetune"), registry.find("phantom-mri"), SMOKE.backbones)
    deployed, training = counted.passes
    latency = {name: found.pop(name) for name in list(found) if "latency" in name}
    assert set(latency) == {f"cost/latency_{n}_ms" for n in ("p50", "p90", "p99", "iqr")}
    assert 0 < latency["cost/latency_p50_ms"] <= latency["cost/latency_p99_ms"]
    memory = {n: found.pop(f"cost/{n}_bytes") for n in ("parameter", "activation", "peak")}
    assert counted.memory is not None and counted.memory.batch == 8 * 32
    assert memory["parameter"] == counted.memory.parameters
    assert 8 * memory["activation"] == pytest.approx(counted.memory.activations, rel=1e-3)
    assert memory["peak"] > memory["parameter"] + memory["activation"]
    assert found == {
        "cost/thop_macs": deployed.forward["thop-macs"],
        "cost/fvcore_macs": deployed.forward["fvcore-macs"],
        "cost/torch_flops": deployed.forward["torch-flops"],
        "cost/training_thop_macs": training.forward["thop-macs"],
        "cost/training_fvcore_macs": training.forward["fvcore-macs"],
        "cost/training_torch_flops": training.forward["torch-flops"],
        "cost/step_torch_flops": training.step["torch-flops"],
    }
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs/records").glob("*.json")]
    costs = {r["definition"]["stages"][-1]["phase"]: r["result"]["cost"] for r in records}
    assert set(costs["pretrain"]) == {"training", "step", "memory"}


def test_a_stage_that_cannot_be_counted_is_trained_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exotic(*_: object) -> None:
        raise UncountedError("The operator x.y has no formula.")

    monkeypatch.setattr("harness.cost.stage.of_stage", exotic)
    monkeypatch.setattr("harness.execute.counted._KNOWN", {})
    words = "run table1 --profile smoke --datasets phantom-mri --rows resnet50 --track off"
    assert main([*words.split(), "--set", "recipe.epochs=1"]) == 0
    (path,) = (tmp_path / "runs" / "records").glob("*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "done" and "evaluation" in record["result"]
    assert record["result"]["cost"] == {"error": "UncountedError: The operator x.y has no formula."}
    options = Options(profile=SMOKE, datasets=("phantom-mri",), rows=("resnet50",))
    options = replace(options, overrides=("recipe.epochs=1",))
    run, *_ = mirrors(Source(plan=plan.make(*catalog.load("table1"), options)))
    assert all("latency" in name for name in run.metrics if name.startswith("cost/"))


def test_counting_draws_nothing_from_the_global_stream() -> None:
    before = torch.get_rng_state()
    of_stage(models.find("simclr").stage, FIVE, SMOKE.backbones)
    assert torch.equal(before, torch.get_rng_state())
