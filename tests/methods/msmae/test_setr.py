"""SETR on our encoders: sizes, losses by hand, what is seen and what is trained."""

from __future__ import annotations

import dataclasses
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.errors import UserError
from harness.methods.baselines import mae
from harness.methods.msmae import paper
from harness.methods.msmae.patches import upsamplings
from harness.methods.msmae.segmentation import (
    ROTATION,
    Segment,
    Segmenter,
    dice_loss,
    prepare,
)
from harness.plan import override
from harness.spec import profiles
from harness.spec.backbones import BackboneSizes
from harness.store.checkpoint import Checkpoints
from harness.train.backward import autocast
from harness.train.optimizer import build_optimizer
from harness.train.task import Batch
from tests import tiny
from tests.segment_cases import segmenter

PAPER = profiles.PAPER.backbones
VARIANTS = pytest.mark.parametrize(
    "settings", [paper.SEGMENT, paper.SEGMENT_RELEASED], ids=["described", "released"]
)


def _batch(masks: Tensor | None = None) -> Batch:
    batch = tiny.batch(4)
    return batch if masks is None else dataclasses.replace(batch, masks=masks)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _vit(width: int, depth: int, patch: int, side: int, *, qkv_bias: bool, norm: bool) -> int:
    embedding = 3 * patch**2 * width + width + width + (1 + (side // patch) ** 2) * width
    attention = 3 * width**2 + (3 * width if qkv_bias else 0) + width**2 + width
    block = attention + 2 * 4 * width**2 + 5 * width + 4 * width
    return embedding + depth * block + (2 * width if norm else 0)


def test_the_threshold_is_a_setting() -> None:
    assert segmenter(Segment(threshold=0.3)).threshold == 0.3


def test_parameters_at_papers_size() -> None:
    with torch.device("meta"):
        described = paper.SEGMENT.build(tiny.dataset(), PAPER)
        released = paper.SEGMENT_RELEASED.build(tiny.dataset(), PAPER)
    assert isinstance(described, Segmenter)
    assert isinstance(released, Segmenter)
    encoder = _vit(768, 12, 16, 224, qkv_bias=True, norm=True)
    head = 2 * 768 + 9 * 256 * (768 + 3 * 256) + 4 * 2 * 256 + 256 + 1
    assert _count(described.encoder) == encoder == 85_798_656
    assert _count(described.network.decode_head) == head == 3_542_785
    assert _count(described) == encoder + head == 89_341_441
    assert _vit(768, 12, 16, 224, qkv_bias=False, norm=False) == 85_769_472
    assert _count(released.encoder) == 85_769_472
    heads = [released.network.decode_head, *released.network.auxiliary_head]
    assert [_count(one) for one in heads] == [3_544_321] * 4
    assert _count(released) == 99_946_756
    assert released.network.backbone.taps == (3, 5, 7, 11)
    assert [one.in_index for one in heads] == [3, 0, 1, 2]
    for name in ("89 341 441", "85 798 656", "3 542 785", "99 946 756", "85 769 472", "3 544 321"):
        assert name in (Segment.__doc__ or "")


def test_released_settings_are_fields_of_the_command_line() -> None:
    changes = {"final_norm": "false", "head_norm": "false", "final_conv": "3x3"}
    changes |= {"conv_bias": "true", "align_corners": "true", "heads": "four"}
    changes |= {"qkv_bias": "false", "input_scale": "twice", "channel_order": "bgr"}
    changes |= {"head_init": "torch", "image_resize": "opencv", "mask_resize": "corner"}
    chain = paper.then_segment(mae.stages()[0])
    given = [f"finetune.method.{name}={value}" for name, value in changes.items()]
    (changed,) = override.apply([chain], given)
    assert changed[1].method == paper.SEGMENT_RELEASED
    with pytest.raises(UserError, match=r"'2x2' is not '1x1' or '3x3'"):
        override.apply([chain], ["finetune.method.final_conv=2x2"])


@pytest.mark.parametrize(
    "changes",
    [{"bce_weight": -1.0}, {"dice_smooth": 0.0}, {"channels": 0}, {"threshold": 1.0}],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        Segment(**changes)


@pytest.mark.parametrize(
    "backbones", [profiles.SMOKE.backbones, profiles.LAPTOP.backbones], ids=str
)
@VARIANTS
def test_logits_have_the_images_size_in_every_profile(
    backbones: BackboneSizes, settings: Segment
) -> None:
    task = settings.build(tiny.dataset(), backbones).eval()
    side = backbones.image_size
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        logits = task.segment(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 1, side, side)
    assert task.segments
    assert not task.classifies


def test_only_powers_of_two_can_be_doubled_to_the_images_size() -> None:
    assert [upsamplings(patch) for patch in (2, 4, 8, 16)] == [1, 2, 3, 4]
    vit = dataclasses.replace(tiny.ENCODERS.vit, patch=12)
    backbones = dataclasses.replace(tiny.ENCODERS, image_size=36, given={"vit": vit})
    with pytest.raises(UserError, match="patch size is 12"):
        Segment().check(recipe=paper.SEGMENTATION, images=8, backbones=backbones)
    with pytest.raises(UserError, match="power of two"):
        Segment().build(tiny.dataset(), backbones)
    with pytest.raises(UserError, match="patch size is 1;"):
        upsamplings(1)


def test_dice_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
    masks = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]).view(2, 1, 2, 2)
    # I = 0.5 and 2, P + T = 2 + 1 and 2 + 4; with s = 1: 1 - 2/4 and 1 - 5/7.
    assert float(dice_loss(logits, masks, smooth=1.0)) == pytest.approx((1 / 2 + 2 / 7) / 2)
    sure = (masks * 2 - 1) * 100
    assert float(dice_loss(sure, masks, smooth=1e-5)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(-sure, masks, smooth=1e-5)) == pytest.approx(1, abs=1e-4)
    # No lesion: a perfect empty answer costs nothing, a full one nearly all.
    empty = torch.zeros(1, 1, 2, 2)
    assert float(dice_loss(empty - 100, empty, smooth=1e-5)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(empty + 100, empty, smooth=1e-5)) == pytest.approx(1, abs=1e-5)


def test_loss_is_equation_9(monkeypatch: pytest.MonkeyPatch) -> None:
    task = segmenter(Segment(bce_weight=0.5, dice_smooth=1.0))
    logits = torch.tensor([math.log(3.0), 0.0, 0.0, -math.log(3.0)]).view(1, 1, 2, 2)
    masks = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 1, 2, 2)
    monkeypatch.setattr(task, "segment", lambda images: logits)
    losses = task.losses(_batch(masks), tiny.progress())
    # Chances 3/4, 1/2, 1/2, 1/4: I = 5/4, P + T = 2 + 2.
    dice = 1 - (2.5 + 1) / (4 + 1)
    bce = (2 * math.log(4 / 3) + 2 * math.log(2)) / 4
    assert float(losses["dice"]) == pytest.approx(dice)
    assert float(losses["bce"]) == pytest.approx(bce)
    assert float(losses["total"]) == pytest.approx(dice + 0.5 * bce)


def test_data_without_masks_are_refused() -> None:
    with pytest.raises(UserError, match="needs masks"):
        segmenter().losses(dataclasses.replace(_batch(), masks=None), tiny.progress())


@VARIANTS
def test_a_step_trains_everything_that_it_says_it_trains(settings: Segment) -> None:
    task = segmenter(settings).train()
    optimizer = build_optimizer(task, paper.SEGMENTATION)
    before = {name: p.detach().clone() for name, p in task.named_parameters()}
    task.losses(_batch(), tiny.progress())["total"].backward()
    silent = [n for n, p in task.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    optimizer.step()
    moved = {n for n, p in task.named_parameters() if not torch.equal(p, before[n])}
    frozen = {n for n in before if n.startswith("network.auxiliary_head.")}
    assert bool(frozen) == (settings.heads == "four")
    assert moved.isdisjoint(frozen)
    assert {n for n in before if n.startswith("network.backbone.")} <= moved | _zero_gradients(task)


def _zero_gradients(task: Segmenter) -> set[str]:
    """Keys' biases shift all scores of a row alike: their gradient is 0 but for rounding."""
    return {n for n, p in task.named_parameters() if p.grad is not None and not p.grad.any()}


@VARIANTS
def test_a_few_steps_learn_a_mask(settings: Segment) -> None:
    task = segmenter(dataclasses.replace(settings, input_scale="once")).train()
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], lr=2e-3)
    found = []
    for _ in range(60):
        loss = task.losses(_batch(), tiny.progress())["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.8 * found[0]


@VARIANTS
def test_state_goes_through_a_checkpoint(settings: Segment, tmp_path: Path) -> None:
    task, other = segmenter(settings), segmenter(settings, "b")
    task.losses(_batch(), tiny.progress())  # moves BatchNorm's statistics
    checkpoints = Checkpoints(tmp_path, "segment")
    checkpoints.save({"task": task.state_dict(), "history": []})
    loaded = checkpoints.load()
    assert loaded is not None
    other.load_state_dict(loaded["task"], strict=True)
    images = _batch().images[0]
    with torch.no_grad():
        assert torch.equal(task.eval().segment(images), other.eval().segment(images))


def test_the_same_seed_gives_the_same_network_to_the_bit() -> None:
    state = torch.get_rng_state()
    one, same, other = segmenter(), segmenter(), segmenter(name="b")
    assert torch.equal(state, torch.get_rng_state())
    images = _batch().images[0]
    with torch.no_grad():
        assert torch.equal(one.segment(images), same.segment(images))
        assert not torch.equal(one.segment(images), other.segment(images))


@VARIANTS
def test_evaluation_goes_in_small_parts_that_do_not_see_each_other(settings: Segment) -> None:
    task = segmenter(settings)
    task.losses(_batch(), tiny.progress())  # moves BatchNorm's statistics
    task.eval()
    sizes = []
    task.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    images = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = task.segment(images), task.segment(images[9:10])
    assert sizes == [8, 8, 4, 1]
    torch.testing.assert_close(together[9:10], alone, atol=1e-5, rtol=1e-4)


def test_released_input_is_divided_twice_and_reversed() -> None:
    raw = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    images = (raw - mean) / std
    assert prepare(images, Segment()) is images
    twice = prepare(images, Segment(input_scale="twice"))
    torch.testing.assert_close(twice, images / 255)
    bgr = prepare(images, Segment(channel_order="bgr"))
    torch.testing.assert_close(bgr, (raw[:, [2, 1, 0]] - mean) / std, atol=1e-5, rtol=1e-5)
    grey = (raw[:, :1].expand(-1, 3, -1, -1) - mean) / std
    torch.testing.assert_close(prepare(grey, Segment(channel_order="bgr")), grey)
    task = segmenter(Segment(input_scale="twice", channel_order="bgr")).eval()
    plain = segmenter().eval()
    inputs = _batch().images[0]
    with torch.no_grad():
        found = task.segment(inputs)
        assert torch.equal(found, plain.segment(prepare(inputs, task.settings)))
        assert not torch.equal(found, plain.segment(inputs))


def test_the_whole_image_is_seen_unless_a_crop_is_asked_for() -> None:
    sizes, ids = torch.tensor([[300, 500], [64, 64]]), torch.arange(2)
    boxes = segmenter().draw_boxes(0, sizes, ids, tiny.progress())
    assert boxes.tolist() == [[0, 0, 1, 1]] * 2
    cropped = Segment(augmentation=dataclasses.replace(ROTATION, scale=(0.2, 0.5)))
    boxes = segmenter(cropped).draw_boxes(0, sizes, ids, tiny.progress())
    assert bool((boxes[:, 2:].prod(1) < 0.6).all())
    assert (ROTATION.flip, ROTATION.rotation, ROTATION.colour) == (0.0, "quarter", None)


def test_half_precision_steps_have_finite_losses() -> None:
    task = segmenter().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = task.losses(_batch(), tiny.progress())
    assert losses["total"].dtype == torch.float32
    assert math.isfinite(float(losses["total"].detach()))
    with autocast(torch.device("cpu")):
        assert math.isfinite(float(task.losses(_batch(), tiny.progress())["total"].detach()))
