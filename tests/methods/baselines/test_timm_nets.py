"""Networks of timm as backbones: keys, costs, layers, chains and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.api import (
    MAE,
    Finetune,
    Recipe,
    Stage,
    TimmClassifier,
    TimmMoCoV3,
    TimmSimCLR,
    mae,
    mocov3,
    simclr,
    supervised,
    timm_nets,
)
from harness.cost.estimate import size
from harness.errors import UserError
from harness.methods.baselines._nets import build_net, check_net, depths_of
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.spec import profiles
from harness.spec.run import Run
from harness.train.task import build_task, start_task
from tests import prepared, tiny

SMOKE = profiles.SMOKE.backbones
NETS = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "resnet18", "convnext_atto")


def _key(method: TimmClassifier) -> str:
    stage = Stage(
        phase="supervised", method=method, recipe=Recipe(epochs=1, batch_size=4, base_lr=0.1)
    )
    return Run(
        dataset="a", data="b", split="paper", profile=profiles.SMOKE, stages=(stage,), seed=0
    ).key()


def test_the_network_is_part_of_the_key() -> None:
    assert len({_key(TimmClassifier(net=net)) for net in NETS}) == len(NETS)


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_a_chain_on_a_network_trains_and_is_counted(net: str) -> None:
    """Shapes alone: a pre-training is counted, and its encoder fits the fine-tuning."""
    first, last = timm_nets.on(simclr.stages(), net)
    check_net(net, 32)
    small = Recipe(epochs=1, batch_size=4, base_lr=0.1)
    for stage in (first, last):
        counted = size(
            Stage(phase=stage.phase, method=stage.method, recipe=small), tiny.dataset(), SMOKE
        )
        assert counted.flops > 0
    with torch.device("meta"):
        before = build_task(first.method, tiny.dataset(), SMOKE).state_dict()
        after = build_task(last.method, tiny.dataset(), SMOKE).state_dict()
    ours = {n for n in before if n.startswith("encoder.")}
    classifier = {n for n in after if n.startswith("encoder.")} - ours
    assert len(classifier) == 2 and ours < set(after)


def test_fine_tuning_continues_with_the_encoder_and_a_new_head() -> None:
    first, last = timm_nets.on(simclr.stages(), "convnext_atto")
    previous = start_task(
        first.method, tiny.dataset(), SMOKE, stream="a", weights=None
    ).state_dict()
    task = start_task(last.method, tiny.dataset(), SMOKE, stream="b", weights=previous)
    for name, value in task.state_dict().items():
        if name in previous:
            assert torch.equal(value, previous[name]), name
    assert "encoder.head.norm.weight" in previous  # only the very last layer is new


def test_layers_rise_from_the_stem_to_the_head() -> None:
    layers = depths_of(build_net("vit_tiny_patch16_224", 32, classes=4))
    depths = [
        layers.of(f"encoder.{name}")
        for name in ("patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.11.norm1.weight")
    ]
    assert depths == [0, 1, 12] and layers.of("encoder.head.weight") == layers.count - 1 == 13


def test_a_frozen_classifier_trains_its_last_layer_alone() -> None:
    task = build_task(TimmClassifier(net="convnext_atto", frozen=True), tiny.dataset(), SMOKE)
    trained = [name for name, p in task.named_parameters() if p.requires_grad]
    assert trained == ["encoder.head.fc.weight", "encoder.head.fc.bias"]


def test_methods_that_cannot_take_it_say_why() -> None:
    with pytest.raises(UserError, match="'mae', of masked patches.*simclr and mocov3"):
        timm_nets.on(mae.stages(), "convnext_tiny")
    with pytest.raises(UserError, match="masks in fine-tuning"):
        timm_nets.on_backbone(Finetune(mask_ratio=0.4), "resnet18")
    with pytest.raises(UserError, match="No network of timm 'resnet19'. Did you mean 'resnet"):
        check_net("resnet19", 32)
    with pytest.raises(UserError, match="start it with --init timm:convnext_atto.d2_in1k"):
        check_net("convnext_atto.d2_in1k", 32)
    with pytest.raises(UserError, match="patches of 16 px and would leave out their rest"):
        check_net("vit_tiny_patch16_224", 40)
    with pytest.raises(UserError, match="set both: --set method.backbone=timm:resnet18"):
        TimmClassifier(net="resnet18").check_previous(MAE())


def test_each_method_keeps_its_other_settings() -> None:
    kinds = [
        type(timm_nets.on_backbone(chain[0].method, "resnet18"))
        for chain in (simclr.stages(), mocov3.stages(), supervised.swin(), supervised.vit())
    ]
    assert kinds == [TimmSimCLR, TimmMoCoV3, TimmClassifier, TimmClassifier]
    assert timm_nets.on_backbone(Finetune(label_smoothing=0.2), "resnet18") == TimmClassifier(
        net="resnet18", label_smoothing=0.2, drop_path=0.1, head_std=2e-5
    )


def _plan(*overrides: str) -> plan.Plan:
    options = Options(
        profile=profiles.SMOKE,
        datasets=("phantom-mri",),
        rows=("simclr",),
        overrides=("recipe.epochs=1", "recipe.warmup_epochs=0", *overrides),
    )
    return plan.make(*catalog.load("table1"), options)


def test_set_puts_a_rows_stages_on_a_network(own_folder: Path) -> None:
    prepared.ensure(own_folder / "data")
    both = _plan("method.backbone=timm:resnet18", "pretrain.method.temperature=0.5")
    first, last = both.chains["simclr"]
    assert first.method == TimmSimCLR(net="resnet18", temperature=0.5)
    assert isinstance(last.method, TimmClassifier) and last.method.net == "resnet18"
    # The stages after the one that is named continue on its network.
    alone = _plan("pretrain.method.backbone=timm:resnet18", "pretrain.method.temperature=0.5")
    assert [s.key for s in alone.stage_runs] == [s.key for s in both.stage_runs]
    for wrong, part in {
        "method.backbone=resnet18": "give timm:NAME",
        "supervised.method.backbone=timm:resnet18": "no selected row has the phase",
        "method.net=resnet18": "method field",
        "pretrain.method.backbone=timm:mobilenetv3_small_100": "allowed: ViT, Swin, ResNet, Conv",
        "pretrain.method.backbone=timm:resnetv2_18": "of none of the families",
        "pretrain.method.backbone=timm:resnet19": "No network of timm 'resnet19'",
    }.items():
        with pytest.raises(UserError, match=part):
            _plan(wrong)
    with pytest.raises(UserError, match="a second network"):
        _plan("method.backbone=timm:resnet18", "pretrain.method.backbone=timm:resnet18")


def test_a_table_names_the_network_that_is_trained() -> None:
    options = Options(
        profile=profiles.SMOKE, rows=("simclr", "vit"), datasets=("btmd",), unprepared=True
    )
    changed = replace(options, overrides=("method.backbone=timm:convnext_atto",))
    for given, names in ((options, ["ResNet50", "ViT-B"]), (changed, ["convnext_atto"] * 2)):
        made = plan.make(*catalog.load("table1"), given)
        assert [row.backbone for row in made.table.rows] == names
        assert [run.row.backbone for run in made.cell_runs if run.seed == 0] == names
