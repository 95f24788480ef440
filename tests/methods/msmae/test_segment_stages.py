"""SETR as a stage: what a pre-training hands on, recipes and chains, resumption, costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import seed
from harness.cost import models
from harness.cost.passes import StagePasses
from harness.cost.stage import META, measure, of_stage
from harness.data import registry
from harness.errors import UserError
from harness.evaluate.segmentation import SegmentationEvaluator
from harness.latency.single import latency
from harness.methods.baselines import mae, supervised
from harness.methods.msmae import paper
from harness.methods.msmae.finetune import Finetune
from harness.methods.msmae.segmentation import Segment
from harness.spec import profiles
from harness.spec.recipe import Recipe, Stage
from harness.spec.run import Run
from harness.store.checkpoint import Checkpoints
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.optimizer import build_optimizer, learning_rate, parameter_groups
from tests import tiny
from tests.segment_cases import segmenter

VARIANTS = pytest.mark.parametrize(
    "settings", [paper.SEGMENT, paper.SEGMENT_RELEASED], ids=["described", "released"]
)


def _pretrained(stage: Stage) -> Any:
    with seed.third_party("segment", "before"):
        task = stage.method.build(tiny.dataset(), tiny.ENCODERS)
    for parameter in task.parameters():  # zeros and ones would hide what is not handed on
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return task


@pytest.mark.parametrize("stage", [mae.stages()[0], paper.described()[0]], ids=["mae", "msmae"])
def test_features_are_those_of_the_pretrained_encoder(stage: Stage) -> None:
    before, task = _pretrained(stage), segmenter()
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
    before, task = _pretrained(supervised.vit()[0]), segmenter()
    assert isinstance(before.encoder.norm, torch.nn.Identity)
    task.start_from(before.state_dict())
    own, given = task.encoder.state_dict(), before.encoder.state_dict()
    assert own.keys() - given.keys() == {"norm.weight", "norm.bias"}
    assert all(torch.equal(own[name], value) for name, value in given.items())
    assert torch.equal(own["norm.weight"], torch.ones(48))
    released = segmenter(paper.SEGMENT_RELEASED)
    released.start_from(before.state_dict())
    assert all(torch.equal(given[n], value) for n, value in released.encoder.state_dict().items())
    assert not torch.equal(own["pos_embed"], segmenter().encoder.state_dict()["pos_embed"])
    pooled = _pretrained(
        Stage(phase="supervised", method=Finetune(pool="class"), recipe=paper.FINETUNE)
    )
    task.start_from(pooled.state_dict())
    assert torch.equal(task.encoder.state_dict()["norm.weight"], pooled.encoder.norm.weight)


def test_the_released_network_leaves_behind_what_it_has_no_place_for() -> None:
    before, task = _pretrained(mae.stages()[0]), segmenter(paper.SEGMENT_RELEASED)
    task.start_from(before.state_dict())
    own, given = task.encoder.state_dict(), before.encoder.state_dict()
    left = {"norm.weight", "norm.bias", "blocks.0.attn.qkv.bias", "blocks.1.attn.qkv.bias"}
    assert given.keys() - own.keys() == left
    assert all(torch.equal(given[name], value) for name, value in own.items())


@VARIANTS
def test_a_checkpoint_of_another_architecture_names_its_keys(settings: Segment) -> None:
    task = segmenter(settings)
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
        segmenter().start_from(bare)


def test_recipe_is_table_6() -> None:
    recipe = paper.SEGMENTATION
    assert (recipe.lr, recipe.batch_size, recipe.epochs) == (1e-4, 8, 200)
    assert (recipe.betas[0], recipe.warmup_epochs, recipe.min_lr) == (0.9, 0, 0.0)
    (group,) = parameter_groups(segmenter(), recipe)
    assert group["weight_decay"] == 1e-4
    optimizer = build_optimizer(segmenter(), recipe)
    assert isinstance(optimizer, torch.optim.Adam)
    assert not optimizer.defaults["decoupled_weight_decay"]  # decay is L2 in Adam, not in AdamW
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


def _images(number: int) -> Images:
    """Return 16 dark pictures of noise with a bright square, which is the mask."""
    generator = torch.Generator().manual_seed(number)
    pixels = torch.randint(0, 60, (16, 1, 64, 64), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(16, 1, 64, 64, dtype=torch.uint8)
    masks[:, :, 20:44, 12:40] = 1
    return Images(
        pixels=pixels + 150 * masks,
        labels=torch.arange(16) % 4,
        sizes=torch.full((16, 2), 64),
        names=tuple(map(str, range(16))),
        size=32,
        masks=masks,
    )


def _job(folder: Path, watch: Callable[[int, int, dict[str, float]], None] | None = None) -> Job:
    task, reported = segmenter(), _images(2)
    return Job(
        task=task,
        recipe=Recipe(
            epochs=4,
            batch_size=4,
            base_lr=1e-3,
            lr_batch=None,
            optimizer="adam",
            weight_decay=1e-4,
            decay_all=True,
        ),
        train=_images(1),
        stream="k" * 64,
        checkpoints=Checkpoints(folder, "k" * 64, overhead=1e9),  # after every epoch
        evaluator=SegmentationEvaluator(task, reported, reported),
        watch=watch,
    )


class _Killed(Exception):
    pass


def test_a_killed_and_resumed_segmenter_gives_the_same_bits(tmp_path: Path) -> None:
    """BatchNorm's running statistics, Adam's moments and the drawn turns all go on."""
    whole = _job(tmp_path / "whole")
    history = fit(whole)
    assert history[-1]["loss/total"] < history[0]["loss/total"]

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 2:
            raise _Killed

    with pytest.raises(_Killed):
        fit(_job(tmp_path / "parts", kill))
    resumed = _job(tmp_path / "parts")
    assert fit(resumed) == history
    for name, value in whole.task.state_dict().items():
        assert torch.equal(value, resumed.task.state_dict()[name]), name
    kept = [job.evaluator.predictions() for job in (whole, resumed)]  # type: ignore[union-attr]
    for name, array in kept[0].items():
        np.testing.assert_array_equal(array, kept[1][name])


@VARIANTS
@pytest.mark.parametrize(
    "profile",
    [*sorted(profiles.PROFILES.keys() - {"paper"}), pytest.param("paper", marks=pytest.mark.slow)],
)
def test_a_segmentation_is_counted_on_shapes(settings: Segment, profile: str) -> None:
    backbones = profiles.find(profile).backbones
    stage = Stage(phase="finetune", method=settings, recipe=paper.SEGMENTATION)
    found = of_stage(stage, registry.find("busi"), backbones)
    assert found.deployed is not None and found.training is not None
    assert found.step is not None and found.memory is not None
    assert found.memory.batch == 8
    # Nothing is masked away in training; only BatchNorm cannot be folded there.
    assert found.training["torch-flops"] == found.deployed["torch-flops"]


@pytest.mark.slow
def test_the_described_network_costs_its_encoder_and_four_convolutions() -> None:
    size = profiles.PAPER.backbones.vit
    tokens, width = 14**2 + 1, size.width
    encoder = 14**2 * 3 * 16**2 * width + 12 * (12 * tokens * width**2 + 2 * tokens**2 * width)
    # Each convolution stands before its doubling: 14, 28, 56 and 112 pixels a side.
    head = 9 * 256 * sum(c * n**2 for c, n in ((width, 14), (256, 28), (256, 56), (256, 112)))
    stage = Stage(phase="finetune", method=paper.SEGMENT, recipe=paper.SEGMENTATION)
    found = of_stage(stage, registry.find("busi"), profiles.PAPER.backbones)
    assert found.deployed is not None
    assert found.deployed["torch-flops"] / 2 == encoder + head + 224**2 * 256


def test_segmenters_have_names_and_deployed_passes_as_classifiers_have() -> None:
    names = {"baseline": "segmenter", "vit": "classifier", "mae": "pre-training"}
    known = models.models("table2")
    assert {name: known[name].label.rpartition(", ")[2] for name in names} == names
    cost = measure(known["mae.finetune"], registry.find("busi"), tiny.ENCODERS, memory=False)
    assert [one.name for one in cost.passes] == ["deployed forward", "training forward"]
    work = StagePasses(known["baseline"].stage, registry.find("busi"), tiny.ENCODERS, META, 2)
    assert work.deployed()().shape == (2, 1, 32, 32)
    with pytest.raises(UserError, match="cannot leave patches out"):
        work.deployed(5)


def test_a_segmenter_is_timed_where_it_was_trained() -> None:
    found = latency(segmenter(), torch.zeros(1, 3, 32, 32))
    assert found.p50 > 0
