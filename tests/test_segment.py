"""SETR on our encoders: sizes, losses by hand, what is handed on, and mmseg kept at a distance."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import mae, supervised
from harness import override, profiles, seed
from harness.checkpoint import Checkpoints
from harness.errors import UserError
from harness.loop import autocast
from harness.optimizer import build_optimizer, learning_rate, parameter_groups
from harness.spec import Encoders, Run, Stage
from harness.task import Batch
from msmae import paper
from msmae.finetune import Finetune
from msmae.segmentation import ROTATION, Segment, Segmenter, dice_loss, prepare, upsamplings
from tests import tiny

PAPER = profiles.PAPER.encoders
ROOT = Path(__file__).parent.parent
VARIANTS = pytest.mark.parametrize(
    "settings", [paper.SEGMENT, paper.SEGMENT_RELEASED], ids=["described", "released"]
)


def _segmenter(settings: Segment = paper.SEGMENT, name: str = "a") -> Segmenter:
    with seed.third_party("segment", name):
        task = settings.build(tiny.dataset(), tiny.ENCODERS)
    assert isinstance(task, Segmenter)
    return task


def _pretrained(stage: Stage) -> Any:
    with seed.third_party("segment", "before"):
        task = stage.method.build(tiny.dataset(), tiny.ENCODERS)
    for parameter in task.parameters():  # zeros and ones would hide what is not handed on
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return task


def _batch(masks: Tensor | None = None) -> Batch:
    batch = tiny.batch(4)
    if masks is None:
        masks = torch.zeros(1, 4, 1, 32, 32)
        masks[:, :3, :, 8:20, 10:25] = 1
    return dataclasses.replace(batch, masks=masks)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _vit(width: int, depth: int, patch: int, side: int, *, qkv_bias: bool, norm: bool) -> int:
    embedding = 3 * patch**2 * width + width + width + (1 + (side // patch) ** 2) * width
    attention = 3 * width**2 + (3 * width if qkv_bias else 0) + width**2 + width
    block = attention + 2 * 4 * width**2 + 5 * width + 4 * width
    return embedding + depth * block + (2 * width if norm else 0)


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
    chain = paper.then_segment(mae.stages()[0])
    given = [f"finetune.method.{name}={value}" for name, value in changes.items()]
    (changed,) = override.apply([chain], given)
    assert changed[1].method == paper.SEGMENT_RELEASED
    with pytest.raises(UserError, match=r"'2x2' is not '1x1' or '3x3'"):
        override.apply([chain], ["finetune.method.final_conv=2x2"])


@pytest.mark.parametrize(
    "changes", [{"bce_weight": -1.0}, {"dice_smooth": 0.0}, {"channels": 0}], ids=str
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(changes))):
        Segment(**changes)


@pytest.mark.parametrize("encoders", [profiles.SMOKE.encoders, profiles.LAPTOP.encoders], ids=str)
@VARIANTS
def test_logits_have_the_images_size_in_every_profile(
    encoders: Encoders, settings: Segment
) -> None:
    task = settings.build(tiny.dataset(), encoders).eval()
    side = encoders.image_size
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        logits = task.segment(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 1, side, side)
    assert task.segments
    assert not task.classifies


def test_only_powers_of_two_can_be_doubled_to_the_images_size() -> None:
    assert [upsamplings(patch) for patch in (2, 4, 8, 16)] == [1, 2, 3, 4]
    encoders = dataclasses.replace(
        tiny.ENCODERS, image_size=36, vit=dataclasses.replace(tiny.ENCODERS.vit, patch=12)
    )
    encoders = dataclasses.replace(
        encoders, swin=dataclasses.replace(tiny.ENCODERS.swin, patch=2), image_size=36
    )
    with pytest.raises(UserError, match="patch size is 12"):
        Segment().check(recipe=paper.SEGMENTATION, images=8, encoders=encoders)
    with pytest.raises(UserError, match="power of two"):
        Segment().build(tiny.dataset(), encoders)
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
    task = _segmenter(Segment(bce_weight=0.5, dice_smooth=1.0))
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
        _segmenter().losses(tiny.batch(), tiny.progress())


def test_mmsegs_own_dice_is_inverted_for_one_channel() -> None:
    """Why we have our own; when this fails, mmseg has mended it."""
    _segmenter()  # imports mmseg as the harness does
    losses = importlib.import_module("mmseg.models.losses")
    masks = torch.zeros(1, 4, 4, dtype=torch.long)
    masks[:, 1:3, 1:3] = 1
    sure = (masks[:, None].float() * 2 - 1) * 20
    dice = losses.DiceLoss(use_sigmoid=True)
    assert float(dice(sure, masks)) > 0.9
    assert float(dice(-sure, masks)) < 0.1


@pytest.mark.parametrize("stage", [mae.stages()[0], paper.described()[0]], ids=["mae", "msmae"])
def test_features_are_those_of_the_pretrained_encoder(stage: Stage) -> None:
    before, task = _pretrained(stage), _segmenter()
    task.start_from(before.state_dict())
    before.eval()
    task.eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (found,) = task.network.extract_feat(images)
        wanted = before.encoder.norm(before.encoder(images))[:, 1:]
    assert found.shape == (3, 48, 4, 4)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), wanted, atol=1e-5, rtol=0)
    # A map's cell is the patch of the same row and column.
    assert torch.equal(found[:, :, 1, 2], found.flatten(2)[:, :, 6])


def test_a_supervised_classifier_hands_on_all_but_a_norm_that_it_never_had() -> None:
    before, task = _pretrained(supervised.vit()[0]), _segmenter()
    assert isinstance(before.encoder.norm, torch.nn.Identity)
    task.start_from(before.state_dict())
    own, given = task.encoder.state_dict(), before.encoder.state_dict()
    assert own.keys() - given.keys() == {"norm.weight", "norm.bias"}
    assert all(torch.equal(own[name], value) for name, value in given.items())
    assert torch.equal(own["norm.weight"], torch.ones(48))
    released = _segmenter(paper.SEGMENT_RELEASED)
    released.start_from(before.state_dict())
    assert all(torch.equal(given[n], value) for n, value in released.encoder.state_dict().items())
    assert not torch.equal(own["pos_embed"], _segmenter().encoder.state_dict()["pos_embed"])
    pooled = _pretrained(
        Stage(phase="supervised", method=Finetune(pool="class"), recipe=paper.FINETUNE)
    )
    task.start_from(pooled.state_dict())
    assert torch.equal(task.encoder.state_dict()["norm.weight"], pooled.encoder.norm.weight)


def test_the_released_network_leaves_behind_what_it_has_no_place_for() -> None:
    before, task = _pretrained(mae.stages()[0]), _segmenter(paper.SEGMENT_RELEASED)
    task.start_from(before.state_dict())
    own, given = task.encoder.state_dict(), before.encoder.state_dict()
    left = {"norm.weight", "norm.bias", "blocks.0.attn.qkv.bias", "blocks.1.attn.qkv.bias"}
    assert given.keys() - own.keys() == left
    assert all(torch.equal(given[name], value) for name, value in own.items())


@VARIANTS
def test_a_checkpoint_of_another_architecture_names_its_keys(settings: Segment) -> None:
    task = _segmenter(settings)
    state = _pretrained(mae.stages()[0]).state_dict()
    untouched = {name: value.clone() for name, value in task.state_dict().items()}
    short = {name: value for name, value in state.items() if name != "encoder.cls_token"}
    with pytest.raises(UserError, match=r"another architecture.*missing cls_token"):
        task.start_from(short)
    with pytest.raises(UserError, match=r"unexpected extra\.weight"):
        task.start_from({**state, "encoder.extra.weight": torch.zeros(1)})
    with pytest.raises(UserError, match=r"pos_embed is \(1, 5, 48\), not \(1, 17, 48\)"):
        task.start_from({**state, "encoder.pos_embed": torch.zeros(1, 5, 48)})
    resnet = supervised.ResNet50().build(tiny.dataset(), tiny.ENCODERS)
    with pytest.raises(UserError, match=r"missing blocks\.0\."):
        task.start_from(resnet.state_dict())
    assert all(torch.equal(task.state_dict()[n], value) for n, value in untouched.items())


def test_a_missing_final_norm_is_excused_in_a_pooling_classifier_only() -> None:
    state = _pretrained(mae.stages()[0]).state_dict()
    bare = {name: value for name, value in state.items() if ".norm." not in name}
    with pytest.raises(UserError, match=r"missing norm\.bias; missing norm\.weight"):
        _segmenter().start_from(bare)


@VARIANTS
def test_a_step_trains_everything_that_it_says_it_trains(settings: Segment) -> None:
    task = _segmenter(settings).train()
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
    task = _segmenter(dataclasses.replace(settings, input_scale="once")).train()
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
    task, other = _segmenter(settings), _segmenter(settings, "b")
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
    one, same, other = _segmenter(), _segmenter(), _segmenter(name="b")
    assert torch.equal(state, torch.get_rng_state())
    images = _batch().images[0]
    with torch.no_grad():
        assert torch.equal(one.segment(images), same.segment(images))
        assert not torch.equal(one.segment(images), other.segment(images))


@VARIANTS
def test_evaluation_goes_in_small_parts_that_do_not_see_each_other(settings: Segment) -> None:
    task = _segmenter(settings)
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
    task = _segmenter(Segment(input_scale="twice", channel_order="bgr")).eval()
    plain = _segmenter().eval()
    inputs = _batch().images[0]
    with torch.no_grad():
        found = task.segment(inputs)
        assert torch.equal(found, plain.segment(prepare(inputs, task.settings)))
        assert not torch.equal(found, plain.segment(inputs))


def test_the_whole_image_is_seen_unless_a_crop_is_asked_for() -> None:
    sizes, ids = torch.tensor([[300, 500], [64, 64]]), torch.arange(2)
    boxes = _segmenter().draw_boxes(0, sizes, ids, tiny.progress())
    assert boxes.tolist() == [[0, 0, 1, 1]] * 2
    cropped = Segment(augmentation=dataclasses.replace(ROTATION, scale=(0.2, 0.5)))
    boxes = _segmenter(cropped).draw_boxes(0, sizes, ids, tiny.progress())
    assert bool((boxes[:, 2:].prod(1) < 0.6).all())
    assert (ROTATION.flip, ROTATION.rotation, ROTATION.colour) == (0.0, "quarter", None)


def test_recipe_is_table_6() -> None:
    recipe = paper.SEGMENTATION
    assert (recipe.lr, recipe.batch_size, recipe.epochs) == (1e-4, 8, 200)
    assert (recipe.betas[0], recipe.warmup_epochs, recipe.min_lr) == (0.9, 0, 0.0)
    (group,) = parameter_groups(_segmenter(), recipe)
    assert group["weight_decay"] == 1e-4
    optimizer = build_optimizer(_segmenter(), recipe)
    assert type(optimizer) is torch.optim.Adam  # decay is L2 in Adam, decoupled in AdamW
    assert not optimizer.defaults.get("decoupled_weight_decay", False)
    released = paper.SEGMENTATION_RELEASED
    rates = [learning_rate(released, time) for time in (0, 0.9, 100, 200)]
    assert rates == pytest.approx([1e-4, 1e-4, 5.5e-5, 1e-5])


def test_chains_of_table_2() -> None:
    chains = {
        "baseline": paper.segment_baseline(),
        "mae": paper.then_segment(mae.stages()[0]),
        "vit": paper.then_segment(supervised.vit()[0]),
        "msmae": paper.then_segment(paper.described()[0]),
        "released": paper.then_segment_released(paper.released()[0]),
    }
    phases = [tuple(stage.phase for stage in chain) for chain in chains.values()]
    pretrained = ("pretrain", "finetune")
    assert phases == [
        ("finetune",),
        pretrained,
        ("supervised", "finetune"),
        pretrained,
        pretrained,
    ]
    keys = set()
    for chain in chains.values():
        run = Run(
            dataset="a", data="b", split="paper", profile=profiles.PAPER, stages=chain, seed=0
        )
        keys.add(run.key())
    assert len(keys) == len(chains)
    assert chains["baseline"][0].recipe == chains["mae"][1].recipe == paper.SEGMENTATION


def test_mmseg_counts_overlap_as_we_do() -> None:
    """IoU and Dice pooled over a data set, to IoUMetric's two decimals."""
    _segmenter()
    evaluation = importlib.import_module("mmseg.evaluation")
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 1, 16, 16, generator=generator)
    masks = (torch.rand(12, 1, 16, 16, generator=generator) < 0.3).long()
    metric = evaluation.IoUMetric(iou_metrics=["mIoU", "mDice"])
    counts = [
        metric.intersect_and_union(found, truth, 2, 255)
        for found, truth in zip((logits > 0).long()[:, 0], masks[:, 0], strict=True)
    ]
    overlap, union, found, truth = (torch.stack(part).sum(0) for part in zip(*counts, strict=True))
    theirs = metric.total_area_to_metrics(overlap, union, found, truth, ["mIoU", "mDice"])
    both = float(((logits > 0) & (masks > 0)).sum())
    sizes = float((logits > 0).sum() + (masks > 0).sum())
    assert round(100 * both / (sizes - both), 2) == round(100 * float(theirs["IoU"][1]), 2)
    assert round(100 * 2 * both / sizes, 2) == round(100 * float(theirs["Dice"][1]), 2)


def test_nothing_of_mmengine_leaks() -> None:
    _segmenter()
    registry = importlib.import_module("mmengine.registry")
    assert registry.DefaultScope.get_current_instance() is None
    assert "mmcv._ext" not in sys.modules or importlib.util.find_spec("mmcv._ext") is not None


def test_building_prints_nothing_and_a_compiled_op_refuses() -> None:
    program = (
        "import sys, warnings\n"
        "warnings.simplefilter('always')\n"
        "from tests import tiny\n"
        "from msmae.segmentation import Segment\n"
        "assert 'mmseg' not in sys.modules\n"
        "Segment().build(tiny.dataset(), tiny.ENCODERS)\n"
        "assert 'mmcv._ext' not in sys.modules\n"
        "import mmcv.ops, importlib.util, torch\n"
        "if importlib.util.find_spec('mmcv._ext') is None:\n"
        "    try:\n        mmcv.ops.nms(torch.rand(1, 4), torch.rand(1), 0.5)\n"
        "    except NotImplementedError as error:\n        assert 'full mmcv' in str(error)\n"
        "    else:\n        raise SystemExit('it ran')\n"
    )
    ran = _python(program)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_mmseg_is_imported_by_a_segmentation_alone() -> None:
    program = (
        "import sys\n"
        "import harness, msmae, msmae.paper, msmae.segmentation\n"
        "from harness import catalog, plan, profiles\n"
        "catalog.experiments(), catalog.methods()\n"
        "_, table = catalog.load('table1')\n"
        "plan.make('table1', table, plan.Options(profile=profiles.SMOKE,"
        " datasets=('phantom-mri',)))\n"
        "from tests import tiny\n"
        "msmae.paper.FINETUNE_PLAIN.build(tiny.dataset(), tiny.ENCODERS)\n"
        "print(sorted({'mmseg', 'mmengine', 'mmcv', 'cv2'} & sys.modules.keys()))\n"
    )
    ran = _python(program)
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr


def _python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_machine_without_mmseg_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mmseg" else real(name)
    )
    with pytest.raises(UserError, match=r"needs mmseg, not installed.*pip install") as caught:
        _segmenter()
    assert "\n" not in str(caught.value)


def test_versions_that_do_not_fit_are_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmseg.models", None)
    with pytest.raises(UserError, match=r"cannot be imported \(.*pip install"):
        _segmenter()


def test_half_precision_steps_have_finite_losses() -> None:
    task = _segmenter().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = task.losses(_batch(), tiny.progress())
    assert losses["total"].dtype == torch.float32
    assert math.isfinite(float(losses["total"].detach()))
    with autocast(torch.device("cpu")):
        assert math.isfinite(float(task.losses(_batch(), tiny.progress())["total"].detach()))
