"""Masks against lesions: the figures from first principles, and masks that follow or avoid them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.errors import UserError
from harness.methods.baselines.amt import AMT
from harness.methods.baselines.mae import MAE
from harness.methods.msmae import lesions, masking, measuring, paper
from harness.methods.msmae.finetune import Finetune
from harness.methods.msmae.masking import Masks, Weights
from harness.methods.msmae.saliency import AttentionMaps, MapSettings
from harness.spec.recipe import Recipe, masks_needed_by
from harness.store.checkpoint import Checkpoints
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.task import Batch, StepContext, build_task
from tests import tiny

SIDE, PATCH, GRID = 32, 4, 8
L = GRID**2
RATIOS = (0.45, 0.30)
MASKED, THROWN, VISIBLE = 28, 20, 16


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(cells: list[tuple[int, int]], count: int = 1) -> Batch:
    """Return whole images, each with a lesion that fills the given patches."""
    masks = torch.zeros(1, count, 1, SIDE, SIDE)
    for row, column in cells:
        rows, columns = slice(row * PATCH, (row + 1) * PATCH), slice(column * PATCH, None)
        masks[..., rows, columns][..., :PATCH] = 1
    return replace(tiny.batch(count), masks=masks)


def _maps(
    weights: Weights, planted: tuple[int, int] | None = None, **changes: Any
) -> AttentionMaps:
    settings = MapSettings(weights=weights, crop="joint", normalisation="mean-first")
    maps = AttentionMaps(replace(settings, **changes), SIDE, PATCH)
    if planted is not None:
        maps.maps = torch.zeros(1, GRID, GRID)
        maps.maps[0, planted[0], planted[1]] = 1.0
    return maps


class _Encoder:
    """An encoder whose attention is on one patch."""

    def __init__(self, cell: tuple[int, int]) -> None:
        self.cell = cell[0] * GRID + cell[1]

    def class_attention(self, images: Tensor) -> Tensor:
        attention = torch.zeros(len(images), 2, L)
        attention[:, :, self.cell] = 1.0
        return attention


def _figures(maps: AttentionMaps, batch: Batch, attended: tuple[int, int]) -> dict[str, float]:
    def augmented() -> Iterator[tuple[Batch, StepContext]]:
        yield batch, tiny.progress()

    def draw(batch: Batch, at: StepContext) -> tuple[Tensor, Masks]:
        weights = maps.patch_weights(batch)
        return weights, masking.weighted(weights, RATIOS, at.generator)

    def look(function: Callable[[Tensor], Tensor]) -> Tensor:
        return function(batch.images[0])

    encoder: Any = _Encoder(attended)
    return measuring.figures(maps, encoder, look, augmented, draw)


def test_one_hot_attention_on_the_lesion_has_an_area_of_exactly_1() -> None:
    found = _figures(_maps("attention", (2, 5)), _batch([(2, 5)]), (2, 5))
    assert found["lesion/auc"] == found["lesion/attention_auc"] == 1.0
    assert found["lesion/pointing"] == found["lesion/attention_pointing"] == 1.0
    assert found["lesion/seen"] == 0.0  # weights elsewhere are 0: it is always masked first
    assert found["lesion/masked"] == 1 / MASKED
    assert found["lesion/unseen"] == 1.0


def test_one_hot_attention_beside_the_lesion_is_as_bad_as_can_be_told() -> None:
    found = _figures(_maps("attention", (2, 5)), _batch([(6, 1)]), (2, 5))
    # The map is resized bilinearly, which gives the 8 patches around the planted one a weight, too.
    # The other 54 of 63 weigh as little as the lesion's: ties count half.
    assert found["lesion/auc"] == pytest.approx(54 / 2 / 63, abs=1e-12)
    assert found["lesion/pointing"] == 0.0


def test_released_weights_are_at_chance_exactly() -> None:
    """They are 1 for every patch, whatever the encoder attends to."""
    cells = [(2, 5), (2, 6), (3, 5)]
    found = _figures(_maps("ones"), _batch(cells, 200), (2, 5))
    assert found["lesion/auc"] == 0.5
    assert found["lesion/pointing"] == pytest.approx(3 / L, abs=1e-12)
    assert found["lesion/touched"] == pytest.approx(3 / L, abs=1e-12)
    assert found["lesion/seen_chance"] == VISIBLE / L
    # Shares of 600 touched patches and of 200 images: four standard deviations at least.
    assert found["lesion/seen"] == pytest.approx(VISIBLE / L, abs=0.07)
    assert found["lesion/unseen"] == pytest.approx(found["lesion/unseen_chance"], abs=0.14)
    assert found["lesion/attention_pointing"] == 1.0
    assert found["lesion/images"] == 200


@pytest.mark.parametrize("seed", range(3))
def test_the_area_is_scikit_learns(seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    weights = torch.randint(0, 6, (9, L), generator=_random(seed)).float()  # many ties
    touched = torch.rand(9, L, generator=_random(seed + 9)) < 0.2
    expected = [roc_auc_score(t, w) for t, w in zip(touched, weights, strict=True)]
    assert lesions.auc(weights, touched).tolist() == pytest.approx(expected, abs=1e-12)


def test_chance_of_seeing_none_counts_all_draws() -> None:
    touched = torch.tensor([[True, False, True, False, False, False], [True] * 5 + [False]])
    for chosen in range(1, 5):
        draws = list(itertools.combinations(range(6), chosen))
        expected = [
            sum(not row[list(draw)].any() for draw in draws) / len(draws) for row in touched
        ]
        assert lesions.none_of(touched, chosen).tolist() == pytest.approx(expected, abs=1e-12)


def test_images_without_a_lesion_or_without_anything_else_count_in_nothing() -> None:
    masks = torch.zeros(1, 3, 1, SIDE, SIDE)
    masks[0, 1] = 1
    masks[0, 2, 0, :PATCH, :PATCH] = 1
    batch = replace(tiny.batch(3), masks=masks)
    found = _figures(_maps("ones"), batch, (0, 0))
    assert found["lesion/images"] == 1
    assert found["lesion/touched"] == 1 / L
    empty = replace(batch, masks=torch.zeros_like(masks))
    assert _figures(_maps("ones"), empty, (0, 0)) == {"lesion/images": 0.0}


def test_a_lesion_is_masked_first_by_the_oracle_and_last_by_its_inverse() -> None:
    cells = list(itertools.product(range(2, 5), range(2, 5)))
    batch = _batch(cells, 30)
    touched = lesions.coverage(batch.masks[0], PATCH) > 0 if batch.masks is not None else None
    assert touched is not None and touched.sum(1).tolist() == [9] * 30
    for weights, kept in (("lesion", 0), ("inverse", 9)):
        masks = masking.weighted(_maps(weights).patch_weights(batch), RATIOS, _random())
        assert touched.gather(1, masks.ids_keep).sum(1).tolist() == [kept] * 30
        # What is no lesion is drawn uniformly: other images hide other patches.
        assert len({tuple(sorted(ids)) for ids in masks.ids_keep.tolist()}) > 1
    # A patch that is lesion in part only is hidden by the one and shown by the other, too.
    part = torch.zeros(1, 1, 1, SIDE, SIDE)
    part[..., 5, 5] = 1
    batch = replace(tiny.batch(1), masks=part)
    for weights, first in (("lesion", True), ("inverse", False)):
        masks = masking.weighted(_maps(weights).patch_weights(batch), RATIOS, _random())
        assert masks.order[0, 0 if first else -1] == GRID + 1


def test_true_masks_are_those_of_the_crop_not_of_the_map() -> None:
    """The lesion of the batch is cropped already; boxes and maps play no part."""
    batch = replace(_batch([(0, 0)]), boxes=torch.full((1, 1, 4), 0.5), flips=torch.ones(1, 1) > 0)
    for planted in (None, (7, 7)):
        weights = _maps("lesion", planted).patch_weights(batch)
        assert weights.argmax() == 0
        assert weights.sum() == 1


def test_the_highest_weights_are_masked_but_for_hints() -> None:
    weights = torch.rand(50, L, generator=_random())
    ranks = weights.argsort(1, descending=True).argsort(1)
    masks = masking.highest(weights, RATIOS, _random(1), hints=0.0)
    assert ranks.gather(1, masks.ids_mask).sort(1).values.tolist() == [list(range(MASKED))] * 50
    hinted = masking.highest(weights, RATIOS, _random(1), hints=0.25)
    assert (hinted.masked, hinted.thrown) == (MASKED, THROWN)
    assert hinted.order.sort(1).values.tolist() == [list(range(L))] * 50
    shown = ranks.gather(1, hinted.ids_keep) < MASKED
    assert shown.sum(1).tolist() == [7] * 50  # int(28 / 4)
    # Every one of the heaviest is a hint about as often: 50 * 7 / 28 times.
    often = torch.bincount(ranks.gather(1, hinted.ids_keep)[shown], minlength=MASKED)
    assert 1 <= int(often.min()) <= int(often.max()) <= 26
    ties = masking.highest(torch.ones(50, L), RATIOS, _random(2), hints=0.0)
    assert len({tuple(sorted(ids)) for ids in ties.ids_mask.tolist()}) == 50


def test_hints_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="shows 17 of the 28 masked patches, but only 16 of 64"):
        masking.check_hints(L, RATIOS, 0.62)
    masking.check_hints(L, RATIOS, 0.6)
    method = replace(paper.DESCRIBED, selection="highest", hints=0.9)
    with pytest.raises(UserError, match="hints is 0.9"):
        method.check(recipe=paper.PRETRAIN, images=256, backbones=tiny.ENCODERS)


def test_a_setting_needs_masks_not_a_class() -> None:
    needed = {
        paper.DESCRIBED: None,
        replace(paper.DESCRIBED, weights="lesion"): "method.weights='lesion'",
        AMT(weights="inverse"): "method.weights='inverse'",
        AMT(measure="lesions"): "method.measure='lesions'",
        MAE(): None,
        paper.FINETUNE_PLAIN: None,
        Finetune(weights="lesion"): None,  # nothing is masked, so the weights play no part
        replace(paper.FINETUNE_SAM, weights="lesion"): "method.weights='lesion'",
        Finetune(measure="lesions"): "method.measure='lesions'",
        paper.SEGMENT: "a segmentation",
    }
    for method, words in needed.items():
        assert masks_needed_by(method) == words
        if words != "a segmentation":  # which mmsegmentation builds
            task = build_task(method, tiny.dataset(), tiny.ENCODERS)
            assert task.needs_masks == (words is not None)


def _train(folder: Path, method: Any) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    generator = _random(3)
    pixels = torch.randint(0, 256, (16, 1, 64, 64), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(16, 1, 64, 64, dtype=torch.uint8)
    masks[:, :, 20:40, 20:40] = 1
    images = Images(
        pixels=pixels,
        labels=torch.arange(16) % 4,
        sizes=torch.full((16, 2), 64),
        names=tuple(map(str, range(16))),
        size=32,
        masks=masks,
    )
    torch.manual_seed(0)
    task = build_task(method, tiny.dataset(), tiny.ENCODERS)
    job = Job(
        task=task,
        recipe=Recipe(epochs=3, batch_size=8, base_lr=0.01),
        train=images,
        stream="s",
        checkpoints=Checkpoints(folder, "k" * 64),
    )
    history = fit(job)
    return {name: t for name, t in task.state_dict().items() if isinstance(t, Tensor)}, history


@pytest.mark.parametrize(
    "method",
    [replace(paper.DESCRIBED, random_epochs=1, update_interval=1), paper.FINETUNE_SAM],
    ids=["pre-training", "fine-tuning"],
)
def test_measuring_changes_no_weight_and_no_loss(tmp_path: Path, method: Any) -> None:
    plain, before = _train(tmp_path / "plain", method)
    measured, history = _train(tmp_path / "measured", replace(method, measure="lesions"))
    assert plain.keys() == measured.keys()
    assert all(torch.equal(plain[name], measured[name]) for name in plain)
    for old, new in zip(before, history, strict=True):
        assert old == {name: new[name] for name in old}
        figures = new.keys() - old.keys()
        assert {"lesion/auc", "lesion/attention_auc", "lesion/seen", "lesion/images"} <= figures
        assert all(name.startswith("lesion/") for name in figures)


def test_uniform_epochs_are_measured_as_uniform(tmp_path: Path) -> None:
    method = replace(paper.DESCRIBED, random_epochs=2, measure="lesions")
    _, history = _train(tmp_path, method)
    assert [h["lesion/auc"] for h in history[:2]] == [0.5, 0.5]
    assert history[2]["lesion/auc"] != 0.5
