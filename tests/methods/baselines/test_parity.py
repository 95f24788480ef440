"""Rivals against their public codes: counts, heads, initial scales, ranges, weight decay."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.augment import view
from harness.canonical import describe
from harness.errors import UserError
from harness.methods.baselines import simclr, simmim, supervised
from harness.methods.baselines.amt import AMT
from harness.methods.baselines.mae import MAE
from harness.methods.baselines.simclr import SimCLR
from harness.methods.baselines.simmim import SimMIM
from harness.methods.msmae import masking, paper
from harness.methods.msmae.method import MaskedAutoencoder
from harness.plan import catalog
from harness.plan.options import Options
from harness.plan.plan import make
from harness.spec import profiles
from harness.spec.backbones import VitSize
from harness.spec.recipe import Recipe
from harness.train.images import Images, draw_batch
from harness.train.loop import look
from harness.train.optimizer import parameter_groups
from harness.train.task import Task
from tests import tiny

# --- MAE -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "kept", "kept_of_others"),
    # 1 - 0.8 is 0.19999999999999996 and 1 - 0.9 is 0.09999999999999998 in floating point.
    [(0.5, 98, 98), (0.6, 78, 79), (0.75, 49, 49), (0.8, 39, 40), (0.9, 19, 20)],
)
def test_mae_keeps_what_its_code_keeps(ratio: float, kept: int, kept_of_others: int) -> None:
    """Of 196 patches int(196 (1 - r)); AMT and MSMAE mask int(196 r)."""
    masked, thrown = masking.counts_kept(196, ratio)
    assert (196 - masked, thrown) == (kept, 0)
    assert 196 - masking.counts(196, ratio, 0.0)[0] == kept_of_others


def test_mae_loses_a_patch_where_its_floating_point_does() -> None:
    """100 (1 - 0.9) is 9.999999999999998: nine of 100 patches stay, as in the code."""
    assert masking.counts_kept(100, 0.9) == (91, 0)
    assert masking.counts(100, 0.9, 0.0) == (90, 0)


def _ten_by_ten() -> Any:
    size = VitSize(
        patch=2, width=12, depth=1, heads=2, decoder_width=8, decoder_depth=1, decoder_heads=2
    )
    return dataclasses.replace(tiny.ENCODERS, image_size=20, given={"vit": size})


@pytest.mark.parametrize(("rounding", "visible"), [("visible", 9), ("masked", 10)])
def test_mae_draws_and_trains_on_that_many(rounding: Any, visible: int) -> None:
    method = MAE(mask_ratio=0.9, rounding=rounding)
    task = method.build(tiny.dataset(), _ten_by_ten())
    assert isinstance(task, MaskedAutoencoder)
    batch, at = tiny.batch(2, size=20), tiny.progress()
    assert task.draw_masks(batch, at).ids_keep.shape == (2, visible)
    # Micro-batches get the order of patches and cut it at the same places.
    drawn = dataclasses.replace(batch, drawn=task.draw(batch, tiny.progress()))
    assert task._masks_of(drawn, at).ids_keep.shape == (2, visible)
    seen = []
    task.encoder.register_forward_hook(lambda *args: seen.append(args[2].shape[1]))
    task.losses(batch, at)["total"].backward()
    assert seen == [1 + visible]


@pytest.mark.parametrize("method", [AMT(random_ratio=0.9), paper.MSMAE(random_ratio=0.9)])
def test_amt_and_msmae_go_on_rounding_the_masked(method: Any) -> None:
    task = method.build(tiny.dataset(), _ten_by_ten())
    masks = task.draw_masks(tiny.batch(2, size=20), tiny.progress())
    assert (masks.masked, masks.ids_keep.shape[1]) == (90, 10)


@pytest.mark.parametrize("ratio", [0.999, 0.0])
def test_mae_that_keeps_or_masks_nothing_is_refused_when_planned(ratio: float) -> None:
    with pytest.raises(UserError, match=r"which masks \d+ of 16 patches .* one must stay visible"):
        MAE(mask_ratio=ratio).check(recipe=paper.PRETRAIN, images=9, backbones=tiny.ENCODERS)
    MAE().check(recipe=paper.PRETRAIN, images=9, backbones=tiny.ENCODERS)


# --- SimMIM --------------------------------------------------------------------------------------


def _decays(task: Task, recipe: Recipe) -> dict[str, float]:
    groups = parameter_groups(task, recipe)
    return {name: group["weight_decay"] for group in groups for name in group["names"]}


@pytest.mark.parametrize("decays", [True, False])
def test_simmim_decays_its_position_biases_as_run(decays: bool) -> None:
    task = SimMIM(decay_position_biases=decays).build(tiny.dataset(), tiny.ENCODERS)
    found = _decays(task, simmim.RECIPE)
    tables = {name: value for name, value in found.items() if "relative_position" in name}
    assert len(tables) == 4  # one a block, 12 in Swin-T
    assert set(tables.values()) == {0.05 if decays else 0.0}
    assert found["mask_token"] == 0.0
    assert found["encoder.layers.0.blocks.0.attn.qkv.weight"] == 0.05
    assert found["encoder.layers.0.blocks.0.attn.qkv.bias"] == 0.0
    assert SimMIM().decay_position_biases


def test_simmim_s_keyword_matches_no_parameter() -> None:
    """SimMIM's rule: no decay where this keyword is part of a name; its encoder is a submodule."""
    keyword = "encoder.relative_position_bias_table"
    task = SimMIM().build(tiny.dataset(), tiny.ENCODERS)
    names = [name for name, _ in task.named_parameters()]
    assert not [name for name in names if keyword in name]
    assert [name for name in names if name.endswith(keyword.removeprefix("encoder."))]


def test_swin_s_fine_tuning_spares_its_position_biases() -> None:
    stage = simmim.stages()[1]
    found = _decays(stage.method.build(tiny.dataset(), tiny.ENCODERS), stage.recipe)  # type: ignore[arg-type]
    assert {v for name, v in found.items() if "relative_position" in name} == {0.0}


# --- SimCLR --------------------------------------------------------------------------------------


def _simclr(**settings: Any) -> Any:
    torch.manual_seed(0)
    return SimCLR(**settings).build(tiny.dataset(), tiny.ENCODERS)


@pytest.mark.parametrize(
    ("settings", "linear", "norms"),
    [
        ({}, 3, 3),
        ({"head_layers": 2}, 2, 2),
        ({"head": "paper"}, 2, 0),
        ({"head": "paper", "head_layers": 3}, 3, 0),
        ({"head": "lightly"}, 2, 2),
    ],
)
def test_simclr_s_heads(settings: dict[str, Any], linear: int, norms: int) -> None:
    """Google's published head has three linear layers, the paper's and lightly's have two."""
    modules = list(_simclr(**settings).projector.modules())
    layers = [m for m in modules if isinstance(m, nn.Linear)]
    assert len(layers) == linear
    # 32 width of the tiny ResNet's features is 8 * 32 = 256; the output is a sixteenth.
    assert [m.out_features for m in layers] == [256] * (linear - 1) + [16]
    assert len([m for m in modules if isinstance(m, nn.BatchNorm1d)]) == norms


def test_google_s_head_by_hand() -> None:
    """Linear without bias, BatchNorm, ReLU, twice; then linear and a BatchNorm without shift."""
    projector = _simclr().projector
    kinds = [type(m).__name__ for m in projector.layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert all(m.bias is None for m in projector.layers if isinstance(m, nn.Linear))
    shifts = [m.bias.requires_grad for m in projector.layers if isinstance(m, nn.BatchNorm1d)]
    assert shifts == [True, True, False]
    assert all(m.weight.requires_grad for m in projector.layers if isinstance(m, nn.BatchNorm1d))


@pytest.mark.parametrize(("block_scale", "scale"), [("zero", 0.0), ("one", 1.0)])
def test_scales_of_residual_blocks(block_scale: str, scale: float) -> None:
    encoder = _simclr(block_scale=block_scale).encoder
    last = {n: p for n, p in encoder.named_parameters() if n.endswith("bn3.weight")}
    assert len(last) == 4
    assert all(bool((p == scale).all()) for p in last.values())
    others = [p for n, p in encoder.named_parameters() if "bn" in n and n.endswith("weight")]
    assert sum(bool((p == 1).all()) for p in others) == len(others) - (4 if scale == 0 else 0)
    assert all(bool((m.weight == 1).all()) for m in _simclr().projector.layers[1::3])


def test_a_block_with_scale_zero_is_its_shortcut() -> None:
    encoder = _simclr().encoder.train()
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    block = encoder.layer2[0]
    before = torch.relu(
        encoder.layer1(encoder.maxpool(encoder.act1(encoder.bn1(encoder.conv1(images)))))
    )
    expected = torch.relu(block.downsample(before))
    torch.testing.assert_close(block(before), expected)


def test_scales_and_layers_leave_the_first_draws_alone() -> None:
    """The encoder's initial weights are the same: rows that differ in them are paired."""
    old = _simclr(block_scale="one", head_layers=2, image_range="normalised").state_dict()
    new = _simclr().state_dict()
    same = [n for n in old if n.startswith("encoder.") and not n.endswith("bn3.weight")]
    assert len(same) > 20
    assert all(torch.equal(old[name], new[name]) for name in same)


@pytest.mark.parametrize("method", [supervised.ResNet50(), simclr.SimCLR(block_scale="one")])
def test_other_residual_networks_start_at_one(method: Any) -> None:
    task = method.build(tiny.dataset(), tiny.ENCODERS)
    last = [p for n, p in task.encoder.named_parameters() if n.endswith("bn3.weight")]
    assert last and all(bool((p == 1).all()) for p in last)


# --- Range of images -----------------------------------------------------------------------------


def _images(value: int) -> Images:
    return Images(
        pixels=torch.full((4, 3, 64, 64), value, dtype=torch.uint8),
        labels=torch.arange(4),
        sizes=torch.full((4, 2), 64),
        names=tuple("abcd"),
        size=32,
    )


class _Sees(Task):
    """Keeps the images that its passes are given."""

    augmentations = (view.Augmentation(),)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


@pytest.mark.parametrize("evaluation", ["stretch", "stretch-opencv", "centre-crop"])
def test_training_and_evaluation_see_one_range(evaluation: Any) -> None:
    """A picture of 51 is 0.2 in 0..1 and (0.2 - mean) / std normalised, everywhere alike."""
    expected = {
        "unit": [0.2, 0.2, 0.2],
        "normalised": [(0.2 - m) / s for m, s in zip(view.MEAN, view.STD, strict=True)],
    }
    for image_range, values in expected.items():
        task = _Sees()
        task.image_range = image_range  # type: ignore[assignment]
        images = _images(51)
        batch = draw_batch(task, images, torch.arange(4), tiny.progress())
        seen = look(task, images, task.features, evaluation)
        for found in (batch.images[0].mean((2, 3)), seen):
            torch.testing.assert_close(found, torch.tensor(values).expand(4, 3))


def test_simclr_and_its_fine_tunings_see_images_in_0_to_1() -> None:
    own = simclr.own_finetune()
    for stage in (*simclr.stages(), own):
        task = stage.method.build(tiny.dataset(), tiny.ENCODERS)
        assert isinstance(task, Task)
        assert task.image_range == "unit"
    assert supervised.resnet()[0].method.image_range == "normalised"  # type: ignore[attr-defined]


def _plan(*overrides: str, rows: tuple[str, ...] = ("simclr", "contrastivecrop")) -> Any:
    options = Options(
        profile=profiles.PAPER,
        data=Path("nowhere"),
        runs=Path("nowhere"),
        unprepared=True,
        rows=rows,
        datasets=("btmd",),
        overrides=overrides,
    )
    return make(*catalog.load("table1"), options)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["pretrain.method.image_range=normalised"],
            "method.image_range is 'unit', but the encoder is pre-trained on images of the range"
            " 'normalised'; set both alike, for instance method.image_range=normalised.",
        ),
        (["finetune.method.image_range=normalised"], "of the range 'unit'"),
        (["finetune=own", "finetune.method.image_range=normalised"], "of the range 'unit'"),
    ],
)
def test_ranges_that_differ_between_stages_are_refused_when_planned(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=f"Row 'simclr', finetune on btmd: .*{message}"):
        _plan(*overrides, rows=("simclr",))


def test_one_range_for_both_stages_is_planned() -> None:
    for chosen in ("unit", "normalised"):
        made = _plan(f"method.image_range={chosen}", rows=("simclr",))
        (run,) = {unit.run for unit in made.cell_runs}
        assert [stage.method.image_range for stage in run.stages] == [chosen, chosen]  # type: ignore[attr-defined]
    assert _plan()


def test_the_settings_of_version_0_1_have_their_keys_of_then() -> None:
    old = SimCLR(head_layers=2, block_scale="one", image_range="normalised")
    assert set(describe(old)) == {"type", "temperature", "head", "reduction"}
    assert set(describe(MAE(rounding="masked"))) == {"type", "mask_ratio", "normalise_pixels"}
    assert set(describe(SimMIM(decay_position_biases=False))) == {"type", "mask_ratio", "blocks"}
    new = describe(SimCLR())
    assert (new["head_layers"], new["block_scale"], new["image_range"]) == (None, "zero", "unit")
