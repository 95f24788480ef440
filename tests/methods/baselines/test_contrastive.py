"""MoCo v3, SimCLR, ContrastiveCrop and SimMIM: losses by hand, sizes, schedules, crops."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from harness.augment.random_crop import random_boxes
from harness.augment.view import Augmentation
from harness.errors import UserError
from harness.methods.baselines import (
    _crops,
    contrastivecrop,
    mocov3,
    simclr,
    simmim,
    supervised,
    timm_nets,
)
from harness.methods.baselines._groups import in_groups
from harness.methods.baselines._momentum import Queue, follow, frozen_copy
from harness.methods.baselines.contrastivecrop import ContrastiveCrop, CropContrast
from harness.methods.baselines.mocov3 import MoCoV3, MomentumContrast
from harness.methods.baselines.simclr import SimCLR
from harness.methods.baselines.simmim import SimMIM
from harness.methods.msmae import paper
from harness.spec import profiles
from harness.spec.recipe import Checked, Recipe
from harness.train.optimizer import parameter_groups
from tests import tiny

PAPER = profiles.PAPER.backbones


def _count(module: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


# --- MoCo v3 -------------------------------------------------------------------------------------


def test_contrast_by_hand() -> None:
    """Two queries and keys at right angles, T = 0.5: 2T * ln(1 + exp(-1 / T))."""
    axes = torch.eye(2)
    found = mocov3.contrast(3 * axes, 7 * axes, 0.5)
    assert float(found) == pytest.approx(math.log(1 + math.exp(-2)))
    crossed = mocov3.contrast(axes, axes.flip(0), 0.5)
    assert float(crossed) == pytest.approx(math.log(1 + math.exp(2)))
    doubled = mocov3.contrast(axes, axes, 0.25)
    assert float(doubled) == pytest.approx(0.5 * math.log(1 + math.exp(-4)), rel=1e-4)


@pytest.mark.parametrize("net", [None, "resnet10t"])
def test_both_views_in_one_pass_equal_one_pass_per_view(
    net: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss, gradients and running statistics, of an encoder without and with BatchNorm."""
    at_once = functools.partial(in_groups, at_once=True)
    monkeypatch.setattr(mocov3, "in_groups", at_once)
    method = MoCoV3() if net is None else timm_nets.on_backbone(MoCoV3(), net)
    sizes = profiles.SMOKE.backbones if net else tiny.ENCODERS
    torch.manual_seed(0)
    task = method.build(tiny.dataset(), sizes)
    assert isinstance(task, MomentumContrast)
    reference, batch = copy.deepcopy(task), tiny.batch(views=2)
    found = task.losses(batch, tiny.progress())["total"]
    queries = [
        reference.predictor(reference.projector(reference.pool(reference.encoder, view)))
        for view in batch.images
    ]
    keys = [
        reference.momentum_projector(reference.pool(reference.momentum_encoder, view))
        for view in batch.images
    ]
    expected = mocov3.contrast(queries[0], keys[1], 0.2) + mocov3.contrast(queries[1], keys[0], 0.2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    found.backward()
    expected.backward()
    for (name, ours), theirs in zip(task.named_parameters(), reference.parameters(), strict=True):
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
    for name, value in dict(task.named_buffers()).items():
        theirs = dict(reference.named_buffers())[name]
        torch.testing.assert_close(value, theirs, rtol=1e-4, atol=1e-6, msg=name)


def test_momentum_rises_to_one() -> None:
    found = [mocov3.momentum_at(0.99, t) for t in (0.0, 0.5, 1.0)]
    assert found == pytest.approx([0.99, 0.995, 1.0])


@pytest.mark.slow
def test_mocov3_has_the_published_size() -> None:
    task = MoCoV3().build(tiny.dataset(), PAPER)
    assert isinstance(task, MomentumContrast)
    base = _count(task.encoder) + _count(task.projector)
    assert base == 106_786_560
    assert _count(task.encoder, trained=True) + _count(task.projector) == 106_044_672
    assert _count(task.projector) == 20_987_904
    assert _count(task.predictor) == 2_105_344
    assert _count(task) == 215_678_464


def _moco() -> MomentumContrast:
    torch.manual_seed(0)
    task = MoCoV3().build(tiny.dataset(), tiny.ENCODERS)
    assert isinstance(task, MomentumContrast)
    return task


def test_the_momentum_side_has_no_gradient_and_follows() -> None:
    task = _moco()
    with torch.no_grad():
        for p in task.momentum_encoder.parameters():
            p.add_(1.0)
    before = [p.clone() for p in task.momentum_encoder.parameters()]
    task.losses(tiny.batch(views=2), tiny.progress())["total"].backward()
    assert all(p.grad is None for p in task.momentum_encoder.parameters())
    assert all(p.grad is None for p in task.momentum_projector.parameters())
    assert all(p.grad is None for p in task.encoder.patch_embed.parameters())
    assert all(p.grad is not None for p in task.predictor.parameters())
    for old, new, own in zip(
        before, task.momentum_encoder.parameters(), task.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.99 * old + 0.01 * own)


def test_initialisation_of_the_released_code() -> None:
    encoder = _moco().encoder
    width, patch = 48, 8
    qkv = encoder.blocks[0].attn.qkv.weight
    bound = math.sqrt(6 / (2 * width))
    assert float(qkv.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    assert float(encoder.cls_token.detach().abs().max()) < 1e-5
    bound = math.sqrt(6 / (3 * patch * patch + width))
    assert float(encoder.patch_embed.proj.weight.abs().max()) == pytest.approx(bound, rel=0.01)
    assert not encoder.patch_embed.proj.bias.any()


def test_follow_moves_parameters_and_no_buffers() -> None:
    own = nn.BatchNorm1d(3)
    twin = frozen_copy(own)
    with torch.no_grad():
        own.weight.fill_(2.0)
        own.running_mean.fill_(5.0)  # type: ignore[union-attr]
    follow(twin, own, 0.9)
    torch.testing.assert_close(twin.weight, torch.full((3,), 1.1))
    assert not twin.running_mean.any()  # type: ignore[union-attr]


# --- SimCLR --------------------------------------------------------------------------------------


def _nt_xent(first: Tensor, second: Tensor, temperature: float) -> float:
    """Compute NT-Xent from its definition, one anchor after the other."""
    views = nn.functional.normalize(torch.cat([first, second]).double(), dim=1)
    count, total = len(first), 0.0
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        similarity = (views @ views[i] / temperature).tolist()
        others = sum(math.exp(s) for j, s in enumerate(similarity) if j != i)
        total -= math.log(math.exp(similarity[partner]) / others)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_lightlys(temperature: float) -> None:
    """Values and gradients."""
    from lightly.loss import NTXentLoss

    generator = torch.Generator().manual_seed(3)
    ours = torch.randn(12, 5, generator=generator, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    found = simclr.nt_xent(ours, temperature)
    expected = NTXentLoss(temperature=temperature)(*theirs.chunk(2))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_simclr_is_nt_xent_by_definition(reduction: str) -> None:
    torch.manual_seed(0)
    task = SimCLR(reduction=reduction).build(tiny.dataset(), tiny.ENCODERS)  # type: ignore[arg-type]
    batch = tiny.batch(views=2)
    projected: list[Tensor] = []
    task.projector.register_forward_hook(lambda *args: projected.append(args[2].detach()))  # type: ignore[union-attr]
    found = float(task.losses(batch, tiny.progress())["total"].detach())
    expected = _nt_xent(*projected[0].chunk(2), 0.1)
    assert found == pytest.approx(expected * (2 if reduction == "sum" else 1), rel=1e-4)


@pytest.mark.slow
def test_simclr_has_the_papers_widths() -> None:
    task = SimCLR(head="paper").build(tiny.dataset(), PAPER)
    shapes = [tuple(p.shape) for n, p in task.projector.named_parameters() if "weight" in n]  # type: ignore[union-attr]
    assert shapes == [(2048, 2048), (128, 2048)]
    assert _count(task.encoder) == 23_508_032  # type: ignore[arg-type]


# --- ContrastiveCrop -----------------------------------------------------------------------------


def test_queue_contrast_by_hand() -> None:
    query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    queue = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = contrastivecrop.queue_contrast(query, key, queue, 0.2)
    logits = [0.6 / 0.2, 1.0 / 0.2, 0.0]
    expected = math.log(sum(math.exp(value) for value in logits)) - logits[0]
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_the_queue_replaces_the_oldest() -> None:
    queue = Queue(5, 2)
    start = queue.keys.clone()
    torch.testing.assert_close(start.norm(dim=1), torch.ones(5))
    queue.push(torch.full((3, 2), 1.0), 0)
    assert torch.equal(queue.keys[3:], start[3:])
    queue.push(torch.full((3, 2), 2.0), 3)
    assert queue.keys[:, 0].tolist() == [2.0, 1.0, 1.0, 2.0, 2.0]


def test_the_default_momentum_reaches_over_a_quarter_of_a_short_training() -> None:
    found = [contrastivecrop.default_momentum(steps) for steps in (1, 8, 480, 4000, 10**6)]
    assert found == pytest.approx([0.0, 0.5, 1 - 1 / 120, 0.999, 0.999])
    task = _crop_task(queue=16, split=4)
    source = next(task.encoder.parameters()).detach()
    with torch.no_grad():
        next(task.encoder.parameters()).add_(1.0)
    before = next(task.key_encoder.parameters()).detach().clone()
    at = dataclasses.replace(tiny.progress(epochs=2), steps=4)  # eight steps in all: 0.5
    task._keys(tiny.batch().images[0], task.draw_ahead(8, at), at)
    expected = 0.5 * before + 0.5 * source
    torch.testing.assert_close(next(task.key_encoder.parameters()).detach(), expected)


def test_a_queue_is_filled_evenly_or_again_from_the_start() -> None:
    keys = torch.arange(8.0).view(4, 2)
    for size, rows in ((2, [0, 2]), (4, [0, 1, 2, 3]), (8, [0, 0, 1, 1, 2, 2, 3, 3])):
        queue = Queue(size, 2)
        queue.fill(keys)
        assert torch.equal(queue.keys, keys[rows])


def test_the_queue_starts_with_the_training_images_keys_or_with_noise() -> None:
    images = tiny.batch().images[0]
    for start in ("keys", "noise"):
        task = _crop_task(queue=8, split=4, queue_start=start)
        noise = task.queue.keys.clone()
        task.before_epoch(0, lambda function: function(images))
        with torch.no_grad():
            expected = torch.cat(
                [task.key_projector(task.key_encoder(some)) for some in images.split(4)]
            )
        expected = nn.functional.normalize(expected, dim=1) if start == "keys" else noise
        torch.testing.assert_close(task.queue.keys, expected)
        filled = task.queue.keys.clone()
        task.before_epoch(1, lambda function: function(images))
        assert torch.equal(task.queue.keys, filled)


def test_the_first_keys_take_any_number_of_images() -> None:
    task = _crop_task(queue=8, split=4)
    images = tiny.batch(9).images[0]
    task.before_epoch(0, lambda function: function(images))
    torch.testing.assert_close(task.queue.keys.norm(dim=1), torch.ones(8))


@pytest.mark.parametrize(
    ("images", "expected"), [(1222, 1024), (5712, 4096), (7014, 4096), (4096, 4096), (1, 1)]
)
def test_the_default_queue_is_no_larger_than_the_data(images: int, expected: int) -> None:
    assert contrastivecrop.largest_queue(images) == expected


def _crop_task(**settings: object) -> CropContrast:
    torch.manual_seed(0)
    task = ContrastiveCrop(**settings).build(tiny.dataset(), tiny.ENCODERS)  # type: ignore[arg-type]
    assert isinstance(task, CropContrast)
    return task


def test_keys_carry_no_gradient_and_enter_the_queue_after_the_step() -> None:
    task = _crop_task(queue=16, split=4)
    before = task.queue.keys.clone()
    at = tiny.progress()
    task.losses(tiny.batch(views=2), at)["total"].backward()
    assert torch.equal(task.queue.keys, before)
    assert all(p.grad is None for p in task.key_encoder.parameters())
    assert all(p.grad is not None for p in task.encoder.parameters())
    task.after_step(at)
    assert not torch.equal(task.queue.keys[:8], before[:8])
    assert torch.equal(task.queue.keys[8:], before[8:])


def test_keys_stand_in_the_order_of_their_images() -> None:
    task = _crop_task(queue=16, split=4, momentum=1.0)
    task.eval()  # fixed statistics: groups do not matter
    images = tiny.batch().images[0]
    at = tiny.progress()
    found = task._keys(images, task.draw_ahead(len(images), at), at)
    with torch.no_grad():
        expected = nn.functional.normalize(task.key_projector(task.key_encoder(images)), dim=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_heat_boxes_by_hand() -> None:
    """A 7 x 7 map with one hot cell at 224: bilinear, the box around what exceeds 0.1."""
    heat = torch.zeros(2, 1, 7, 7)
    heat[0, 0, 3, 2] = 5.0
    heat[1] = 4.0
    found = _crops.heat_boxes(heat, 224, 0.1)
    # Cell c is centred at pixel 32 c + 15.5 and falls to 0 at 32 pixels; 0.1 is reached at 28.8.
    rows = [math.ceil(111.5 - 28.8), math.floor(111.5 + 28.8)]
    columns = [math.ceil(79.5 - 28.8), math.floor(79.5 + 28.8)]
    expected = torch.tensor([rows[0], columns[0], rows[1], columns[1]]) / 224
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], torch.tensor([0.0, 0.0, 223 / 224, 223 / 224]))


def _drawn_crops(alpha: float, region: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    sizes = torch.tensor([[224, 224]]).expand(4000, 2)
    regions = torch.tensor([region]).expand(4000, 4)
    settings = Augmentation(scale=(0.2, 1.0))
    return _crops.boxed_crops(sizes, regions, settings, alpha, generator)


def test_full_box_and_alpha_one_is_the_uniform_crop() -> None:
    """With box (0, 0, 1, 1) and alpha 1 crops fall as ordinary ones (seed 5 against seed 6)."""
    sizes = torch.tensor([[224, 224]]).expand(4000, 2)
    generator = torch.Generator().manual_seed(6)
    plain = random_boxes(sizes, Augmentation(scale=(0.2, 1.0)), generator)
    uniform, pushed = _drawn_crops(1.0), _drawn_crops(0.6)
    for axis in (0, 1):
        room = 1 - plain[:, axis + 2]
        reference = (plain[:, axis] / room.clamp(min=1e-9))[room > 0.1]
        for crops, same in ((uniform, True), (pushed, False)):
            room = 1 - crops[:, axis + 2]
            places = (crops[:, axis] / room.clamp(min=1e-9))[room > 0.1]
            p = stats.ks_2samp(places.numpy(), reference.numpy()).pvalue
            assert (p > 0.01) == same, (axis, same, p)
        areas = uniform[:, 2] * uniform[:, 3], plain[:, 2] * plain[:, 3]
        assert stats.ks_2samp(*(a.numpy() for a in areas)).pvalue > 0.01


def test_beta_draws_have_the_betas_distribution() -> None:
    uniform = torch.rand(5000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    drawn = _crops.beta_quantile(uniform, 0.6).numpy()
    assert stats.kstest(drawn, stats.beta(0.6, 0.6).cdf).pvalue > 0.01
    assert stats.kstest(drawn, stats.uniform.cdf).pvalue < 1e-6


def test_crops_are_centred_in_the_box_where_there_is_room() -> None:
    region = (0.4, 0.5, 0.6, 0.7)
    crops = _drawn_crops(0.6, region)
    for axis in (0, 1):
        centre = crops[:, axis] + crops[:, axis + 2] / 2
        half = crops[:, axis + 2] / 2
        low = torch.clamp(torch.tensor(region[axis]).double(), min=half, max=1 - half)
        high = torch.clamp(torch.tensor(region[axis + 2]).double(), min=half, max=1 - half)
        assert bool((centre >= low - 2 / 224).all())
        assert bool((centre <= high + 2 / 224).all())
    assert bool(((crops[:, :2] >= 0) & (crops[:, :2] + crops[:, 2:] <= 1 + 1e-9)).all())


def test_boxes_come_with_the_schedule() -> None:
    task = _crop_task(random_epochs=2, update_interval=3, queue_start="noise")
    looked = []

    def look(function: object) -> Tensor:
        looked.append(len(looked))
        return torch.tensor([[0.0, 0.0, 0.5, 0.5]]).expand(8, 4)

    epochs = []
    for epoch in range(9):
        count = len(looked)
        task.before_epoch(epoch, look)  # type: ignore[arg-type]
        epochs += [epoch] * (len(looked) - count)
    assert epochs == [2, 5, 8]
    sizes = torch.tensor([[100, 100]]).expand(8, 2)
    crops = task.draw_boxes(0, sizes, torch.arange(8), tiny.progress())
    centres = crops[:, :2] + crops[:, 2:] / 2
    assert float(centres.max()) <= 0.75 + 0.02  # half a crop from the border, or in the box


# --- SimMIM --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blocks", "expected"), [(49, 30), (36, 22)])
def test_masked_blocks_are_rounded_up(blocks: int, expected: int) -> None:
    assert simmim.masked_blocks(blocks, 0.6) == expected


@pytest.mark.parametrize(
    ("grid", "last", "expected"),
    [(56, 8, 7), (48, 8, 6), (16, 8, 8), (20, 8, 5), (21, 8, 7)],
)
def test_blocks_are_last_patches_or_a_seventh_of_a_small_image(
    grid: int, last: int, expected: int
) -> None:
    assert simmim.default_blocks(grid, last) == expected


def test_masked_l1_by_hand() -> None:
    images, predicted = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    predicted[0, 0, 0, 0] = 4.0
    mask = torch.tensor([[[True, False], [True, False]]])
    found = simmim.masked_l1(predicted, images, mask)
    assert float(found) == pytest.approx((4 + 1 + 1 + 1 + 1 + 1) / (2 + 1e-5) / 3)


def test_masks_are_whole_blocks_of_a_fixed_number() -> None:
    backbones = dataclasses.replace(PAPER)
    with torch.device("meta"):
        task = SimMIM().build(tiny.dataset(), backbones)
    masks = task.draw_masks(6, torch.Generator().manual_seed(0))  # type: ignore[operator]
    assert masks.shape == (6, 56, 56)
    assert masks.sum((1, 2)).tolist() == [30 * 64] * 6
    blocks = masks.view(6, 7, 8, 7, 8)
    assert torch.equal(blocks.any(2).any(3), blocks.all(2).all(3))


def test_visible_pixels_do_not_count() -> None:
    torch.manual_seed(0)
    task = SimMIM(blocks=4).build(tiny.dataset(), tiny.ENCODERS).eval()
    batch = tiny.batch()
    mask = task.draw_masks(8, torch.Generator().manual_seed(0))  # type: ignore[operator]
    pixels = mask.repeat_interleave(2, 1).repeat_interleave(2, 2)
    changed = torch.where(pixels[:, None], batch.images[0] + 5.0, batch.images[0])
    with torch.no_grad():
        first = task.decoder(task.encode(batch.images[0], mask))  # type: ignore[operator]
        second = task.decoder(task.encode(changed, mask))  # type: ignore[operator]
    torch.testing.assert_close(first, second)  # masked pixels are not seen


@pytest.mark.slow
def test_simmim_has_the_published_size() -> None:
    assert _count(SimMIM().build(tiny.dataset(), PAPER)) == 29_881_818


# --- fine-tuning ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_layer_decay_of_swin_and_resnet() -> None:
    swin = supervised.Swin().build(tiny.dataset(), PAPER)
    groups = parameter_groups(swin, paper.FINETUNE)
    factors = sorted({g["factor"] for g in groups})
    assert factors == pytest.approx([0.75**d for d in range(13, -1, -1)])  # 12 blocks + 2
    where = {name: g["factor"] for g in groups for name in g["names"]}
    assert where["encoder.layers.1.downsample.reduction.weight"] == pytest.approx(0.75**11)
    assert where["encoder.layers.1.blocks.0.mlp.fc1.weight"] == pytest.approx(0.75**10)
    assert where["encoder.head.fc.weight"] == 1.0
    resnet = supervised.ResNet50().build(tiny.dataset(), PAPER)
    factors = sorted({g["factor"] for g in parameter_groups(resnet, paper.FINETUNE)})
    assert factors == pytest.approx([0.75**d for d in range(17, -1, -1)])  # 16 blocks + 2


@pytest.mark.parametrize(
    "module", [simclr, contrastivecrop, simmim, mocov3], ids=lambda m: m.__name__
)
def test_fine_tuning_starts_from_the_pretrained_encoder(module: object) -> None:
    pretrain, finetune = module.stages()  # type: ignore[attr-defined]
    torch.manual_seed(0)
    before = pretrain.method.build(tiny.dataset(), tiny.ENCODERS)
    after = finetune.method.build(tiny.dataset(), tiny.ENCODERS)
    after.start_from(before.state_dict())
    given = before.encoder.state_dict()
    for name, value in after.encoder.state_dict().items():
        if not name.startswith(supervised.CLASSIFIERS):
            assert torch.equal(value, given[name]), name


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (MoCoV3, {"temperature": 0.0}, "temperature is 0.0"),
        (SimCLR, {"temperature": -1.0}, "temperature is -1.0"),
        (ContrastiveCrop, {"alpha": 0.0}, "alpha is 0.0; allowed"),
        (ContrastiveCrop, {"split": 1}, "split is 1; allowed"),
        (ContrastiveCrop, {"queue": 0}, "queue is 0; allowed"),
        (SimMIM, {"mask_ratio": 1.0}, "mask_ratio is 1.0"),
    ],
)
def test_impossible_settings_are_refused(
    kind: type, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        kind(**settings)


def test_blocks_that_do_not_fit_the_grid_are_refused() -> None:
    with pytest.raises(UserError, match="method.blocks is 5.*grid of 16"):
        SimMIM(blocks=5).build(tiny.dataset(), tiny.ENCODERS)


@pytest.mark.parametrize(
    ("method", "batch", "message"),
    [
        (MoCoV3(), 1, "recipe.batch_size is 1, but MoCo v3"),
        (SimCLR(), 1, "recipe.batch_size is 1, but SimCLR"),
        (supervised.ResNet50(), 1, "recipe.batch_size is 1, but ResNet50"),
        (ContrastiveCrop(queue=1), 1, "leaves one image alone in groups of 32"),
        (ContrastiveCrop(queue=65, split=8), 65, "leaves one image alone in groups of 8"),
        (ContrastiveCrop(queue=100), 32, "method.queue 100 .* multiples of 32, .*queue=96"),
        (ContrastiveCrop(queue=16), 32, "method.queue 16 .* multiples of 32, .*queue=32"),
        (ContrastiveCrop(), 48, "method.queue 64, the largest power of two up to 100 .*queue=48"),
        (SimMIM(blocks=5), 8, "method.blocks is 5.*grid of 16 patches. Allowed: 2, 4, 8, 16"),
        (SimMIM(mask_ratio=0.99), 8, "method.mask_ratio is 0.99, which masks all of 8 x 8"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_the_settings(
    method: Checked, batch: int, message: str
) -> None:
    recipe = Recipe(epochs=1, batch_size=batch, base_lr=1.0)
    with pytest.raises(UserError, match=message):
        method.check(recipe=recipe, images=100, backbones=tiny.ENCODERS)


def test_numpy_is_not_asked_for_randomness() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global stream must not move
    _drawn_crops(0.6)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
