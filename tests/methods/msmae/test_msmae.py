"""MSMAE's losses, schedules and variants, and the published sizes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.methods.baselines import amt, mae, supervised
from harness.methods.msmae import masking, paper
from harness.methods.msmae.finetune import Classifier, Finetune
from harness.methods.msmae.method import (
    MSMAE,
    MaskedAutoencoder,
    classification_loss,
    reconstruction_loss,
)
from harness.methods.msmae.patches import normalise_patches, patchify, sincos_table, unpatchify
from harness.spec import profiles
from harness.spec.dataset import Dataset
from harness.spec.recipe import Stage
from harness.train.optimizer import parameter_groups
from harness.train.task import Task
from tests import tiny


def _task(settings: MSMAE | None = None) -> MaskedAutoencoder:
    torch.manual_seed(0)
    task = (settings or MSMAE()).build(tiny.dataset(), tiny.ENCODERS)
    assert isinstance(task, MaskedAutoencoder)
    return task


def _planted(task: MaskedAutoencoder) -> None:
    assert task.maps is not None
    task.maps.maps = torch.rand(8, 4, 4, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("classes", [3, 4, 5, 7])
def test_two_softmaxes_bound_the_loss(classes: int) -> None:
    """Released code: ln(1 + (K - 1) / e) = 0.551, 0.744, 0.905, 1.165 for K = 3, 4, 5, 7."""
    sure = torch.full((1, classes), -1e4)
    sure[0, 0] = 1e4
    floor = classification_loss(sure, torch.tensor([0]), softmax="twice")
    ceiling = classification_loss(sure, torch.tensor([1]), softmax="twice")
    printed = {3: 0.55144, 4: 0.74367, 5: 0.90483, 7: 1.16542}[classes]
    assert float(floor) == pytest.approx(math.log(1 + (classes - 1) / math.e), abs=1e-6)
    assert float(floor) == pytest.approx(printed, abs=1e-5)
    assert float(ceiling) == pytest.approx(printed + 1, abs=1e-5)
    assert float(classification_loss(sure, torch.tensor([0]), softmax="once")) == 0.0


def test_two_softmaxes_weaken_the_gradient_to_a_kth_where_all_is_equal() -> None:
    slopes = []
    for softmax in ("once", "twice"):
        logits = torch.zeros(1, 5, requires_grad=True)
        classification_loss(logits, torch.tensor([2]), softmax=softmax).backward()
        assert logits.grad is not None
        slopes.append(logits.grad)
    torch.testing.assert_close(slopes[1], slopes[0] / 5)


def test_released_pretraining_loss_has_the_floor_and_described_has_not() -> None:
    for settings, floor in ((paper.RELEASED, math.log(1 + 3 / math.e)), (paper.DESCRIBED, 0.0)):
        task = _task(settings)
        assert task.head is not None
        with torch.no_grad():  # a head that always answers class 0, and is sure
            task.head.layers.weight.zero_()
            task.head.layers.bias.copy_(torch.tensor([1e4, 0.0, 0.0, 0.0]))
        batch = dataclasses.replace(tiny.batch(), labels=torch.zeros(8, dtype=torch.int64))
        loss = task.losses(batch, tiny.progress())["classification"]
        assert float(loss.detach()) == pytest.approx(floor, abs=1e-5)


def test_total_is_reconstruction_plus_lambda_times_classification() -> None:
    losses = _task(MSMAE(classification_weight=0.25)).losses(tiny.batch(), tiny.progress())
    expected = losses["reconstruction"] + 0.25 * losses["classification"]
    torch.testing.assert_close(losses["total"], expected)


def test_reconstruction_losses_by_hand() -> None:
    predicted = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    target = torch.tensor([[[4.0, 6.0], [0.0, 1.0]]])
    assert float(reconstruction_loss(predicted, target, "mse")) == (9 + 16 + 0 + 1) / 4
    assert float(reconstruction_loss(predicted, target, "l2")) == (5 + 1) / 2


def test_patches_are_rows_columns_channels_and_invert() -> None:
    images = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    patches = patchify(images, 2)
    assert patches.shape == (2, 4, 12)
    first = [images[0, c, r, k] for r in (0, 1) for k in (0, 1) for c in (0, 1, 2)]
    assert patches[0, 0].tolist() == first
    assert patches[0, 1, 0] == images[0, 0, 0, 2]
    assert torch.equal(unpatchify(patches, 2), images)
    normal = normalise_patches(patches)
    torch.testing.assert_close(normal.mean(-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(-1), torch.ones(2, 4), atol=1e-4, rtol=0)


def test_thrown_patches_get_no_gradient_and_masked_pixels_only_through_the_target() -> None:
    task = _task()
    _planted(task)
    batch, at = tiny.batch(), tiny.progress(epoch=50)
    masks = task.draw_masks(batch, tiny.progress(epoch=50))
    assert (masks.masked, masks.thrown) == (7, 5)  # of 16 patches
    images = batch.images.clone().requires_grad_()
    task.losses(dataclasses.replace(batch, images=images), at)["total"].backward()
    assert images.grad is not None
    slope = patchify(images.grad[0], task.patch).abs().sum(-1)
    assert float(slope.gather(1, masks.ids_throw).max()) == 0.0
    assert float(slope.gather(1, masks.ids_keep).min()) > 0.0
    assert float(slope.gather(1, masks.ids_mask).min()) > 0.0


def test_epochs_of_random_masking_come_first() -> None:
    task = _task()
    _planted(task)
    for epoch, counts in ((39, (12, 0)), (40, (7, 5))):
        masks = task.draw_masks(tiny.batch(), tiny.progress(epoch=epoch))
        assert (masks.masked, masks.thrown) == counts


@pytest.mark.parametrize(
    ("interval", "released"),
    [
        # Released code: looks after these epochs; the epoch that follows uses them.
        (40, [41, 81, 121, 161, 201, 241, 281]),
        (60, [61, 121, 181, 241]),
        (80, [81, 161, 241]),
        (20, [41, 61, 81, 101, 121, 141, 161, 181, 201, 221, 241, 261, 281]),
    ],
)
def test_looks_of_the_released_code(interval: int, released: list[int]) -> None:
    settings = dataclasses.replace(paper.RELEASED, update_interval=interval)
    assert [e for e in range(300) if settings.looks_before(e)] == released


def test_looks_of_the_paper_start_after_the_warm_up() -> None:
    assert [e for e in range(300) if MSMAE().looks_before(e)] == list(range(40, 300, 40))


def test_guided_masks_go_where_the_attention_is() -> None:
    task = _task()
    assert task.maps is not None
    task.maps.maps = torch.zeros(8, 4, 4)
    task.maps.maps[:, 1, 2] = 1.0
    masks = task.draw_masks(tiny.batch(), tiny.progress(epoch=50))
    for row in masks.ids_mask.tolist():
        assert 1 * 4 + 2 in row


def _classifier(**settings: object) -> Classifier:
    torch.manual_seed(0)
    task = Finetune(**settings).build(tiny.dataset(), tiny.ENCODERS)  # type: ignore[arg-type]
    assert isinstance(task, Classifier)
    nn.init.normal_(task.head.weight, std=0.5)  # the paper's 2e-5 leaves gradients near zero
    return task


@pytest.mark.parametrize("masks", [False, True])
def test_class_row_of_the_last_block_gets_no_gradient_under_mean_pooling(*, masks: bool) -> None:
    """The map that fine-tuning SAM reads is of a row that fine-tuning never trains."""
    ratios = {"mask_ratio": 0.45, "throw_ratio": 0.30} if masks else {}
    slopes = {}
    for pool in ("mean", "class"):
        task = _classifier(pool=pool, **ratios)
        attention = task.encoder.blocks[-1].attn
        attention.fused_attn = False
        rows: list[Tensor] = []

        def row(module: nn.Module, args: object, out: Tensor, into: list[Tensor] = rows) -> None:
            out.retain_grad()
            into.append(out)

        attention.attn_drop.register_forward_hook(row)
        task.losses(tiny.batch(), tiny.progress())["total"].backward()
        assert rows[0].grad is not None
        slopes[pool] = rows[0].grad[:, :, 0].abs().max().item()
    assert slopes["mean"] == 0.0
    assert slopes["class"] > 0.0


def test_masked_fine_tuning_sees_a_quarter_and_tests_on_all() -> None:
    task = _classifier(mask_ratio=0.45, throw_ratio=0.30)
    widths: list[int] = []
    task.encoder.blocks[0].register_forward_pre_hook(
        lambda module, args: widths.append(args[0].shape[1])
    )
    task.losses(tiny.batch(), tiny.progress())
    task.predict(tiny.batch().images[0])
    assert widths == [1 + 4, 1 + 16]


def test_fine_tuning_takes_every_key_of_the_encoder() -> None:
    before = _task().state_dict()
    mean, of_class = _classifier(pool="mean"), _classifier(pool="class")
    for task in (mean, of_class):
        task.start_from(before)
        for name, value in task.encoder.state_dict().items():
            assert torch.equal(value, before[f"encoder.{name}"]), name
    assert "norm.weight" in of_class.encoder.state_dict()
    assert "norm.weight" not in mean.encoder.state_dict()
    images = tiny.batch().images[0]
    pretrained = _task()
    torch.testing.assert_close(
        pretrained.encoder.eval()(images), mean.encoder.eval()(images), atol=1e-6, rtol=1e-6
    )


def test_foreign_checkpoints_are_refused_with_their_keys() -> None:
    before = dict(_task().state_dict())
    before["encoder.pos_embed"] = torch.zeros(1, 5, 48)
    del before["encoder.blocks.0.norm1.weight"]
    before["encoder.extra"] = torch.zeros(1)
    with pytest.raises(UserError) as error:
        _classifier().start_from(before)
    for part in ("3 keys", "missing blocks.0.norm1.weight", "unexpected extra", "(1, 5, 48)"):
        assert part in str(error.value)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match=r"mask_ratio 0\.6 \+ throw_ratio 0\.4"):
        MSMAE(mask_ratio=0.6, throw_ratio=0.4)
    with pytest.raises(UserError, match="update_interval is 0"):
        MSMAE(update_interval=0)
    with pytest.raises(UserError, match="classification_weight"):
        MSMAE(classification_weight=-1.0)
    with pytest.raises(UserError, match="together below 1"):
        Finetune(mask_ratio=0.5, throw_ratio=0.5)


def test_variants_differ_where_the_paper_and_the_code_do() -> None:
    described, released = paper.described()[0].method, paper.released()[0].method
    changed = {
        f.name
        for f in dataclasses.fields(paper.RELEASED)
        if getattr(described, f.name) != getattr(released, f.name)
    }
    assert changed == {
        "weights",
        "crop",
        "normalisation",
        "softmax",
        "random_epochs",
        "update_rule",
    }
    assert [s.recipe.order for s in paper.released()] == ["fixed", "fixed"]
    assert [s.recipe.order for s in paper.described()] == ["reshuffled", "reshuffled"]
    crop = paper.amt_crop()[0].method
    assert isinstance(crop, MSMAE)
    assert (crop.weights, crop.crop, crop.softmax) == ("attention", "top-left", "once")


# --- published sizes -------------------------------------------------------------------------


def _built(stage: Stage, dataset: Dataset) -> Task:
    return stage.method.build(dataset, profiles.PAPER.backbones)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "classes", "total", "trained"),
    [
        (mae.stages()[0], 5, 111_907_840, 111_655_680),
        (paper.described()[0], 5, 111_911_685, 111_659_525),
        (amt.stages()[0], 5, 111_907_840, 111_655_680),
        (supervised.vit()[0], 5, 85_802_501, 85_802_501),
        (supervised.swin()[0], 4, 27_522_430, 27_522_430),
        (supervised.resnet()[0], 5, 23_518_277, 23_518_277),
    ],
    ids=["MAE", "MSMAE", "AMT", "ViT-B", "Swin-T", "ResNet50"],
)
def test_parameter_counts(stage: Stage, classes: int, total: int, trained: int) -> None:
    task = _built(stage, tiny.dataset(classes))
    sizes = [(p.numel(), p.requires_grad) for p in task.parameters()]
    assert sum(n for n, _ in sizes) == total
    assert sum(n for n, is_trained in sizes if is_trained) == trained


def test_position_tables() -> None:
    encoder, decoder = sincos_table(768, 14), sincos_table(512, 14)
    assert encoder.shape == (197, 768)
    assert float(encoder.double().sum()) == pytest.approx(69594.49385, abs=0.01)
    assert float(encoder.double().abs().sum()) == pytest.approx(84118.41568, abs=0.01)
    assert float(decoder.double().sum()) == pytest.approx(46340.33312, abs=0.01)
    token = encoder[2]  # row 0, column 1
    assert token[[0, 192, 384, 576]].tolist() == pytest.approx([0.841471, 0.540302, 0.0, 1.0])
    swapped = sincos_table(768, 14, rows_first=True)
    assert torch.equal(swapped[2], encoder[1 + 14])


@pytest.mark.slow
def test_layer_decay_groups() -> None:
    task = _built(supervised.vit()[0], tiny.dataset(5))
    recipe = dataclasses.replace(paper.FINETUNE, layer_decay=0.75)
    groups = parameter_groups(task, recipe)
    assert len(groups) == 28
    factors = sorted({group["factor"] for group in groups})
    assert factors[0] == pytest.approx(0.023757, abs=1e-6)
    assert factors == pytest.approx([0.75**d for d in range(13, -1, -1)])
    sizes = {(round(g["factor"], 9), g["weight_decay"] > 0): len(g["params"]) for g in groups}
    first, last = round(0.75**13, 9), 1.0
    assert sizes[first, False] == 3
    assert sizes[first, True] == 1
    assert sizes[last, False] == 3
    assert sizes[last, True] == 1
    for depth in range(1, 13):
        block = round(0.75**depth, 9)
        assert (sizes[block, False], sizes[block, True]) == (8, 4)


def test_weights_are_ones_in_released_mode_so_masks_are_uniform() -> None:
    task = _task(paper.RELEASED)
    drawn = task.draw_masks(tiny.batch(), tiny.progress(epoch=60, seed=4))
    uniform = masking.weighted(torch.ones(8, 16), (0.45, 0.30), torch.Generator().manual_seed(4))
    assert torch.equal(drawn.order, uniform.order)
