"""Mixup and CutMix by hand and against timm, their draws, and the loss on soft targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import beta as beta_distribution
from scipy.stats import kstest
from timm.data import mixup as reference

from harness.augment import mixup
from harness.augment.mixup import Mixing
from harness.errors import UserError


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return images, torch.tensor([0, 1, 2, 1])


def _draws(seed: int) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(4, generator=generator, dtype=torch.float64).tolist()


def test_off_changes_nothing_and_draws_nothing() -> None:
    images, labels = _batch()
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    settings = Mixing(classes=3, label_smoothing=0.1)
    mixed, targets = mixup.mix(images, labels, settings, mixup.draw(settings, generator))
    assert mixed is images
    assert targets is labels
    assert torch.equal(generator.get_state(), before)
    logits = torch.randn(4, 3, generator=generator)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.equal(mixup.loss(logits, targets, settings), expected)


def test_mixup_by_hand() -> None:
    images, labels = _batch()
    settings = Mixing(classes=3, mixup=0.8, label_smoothing=0.1)
    mixed, targets = mixup.mix(
        images, labels, settings, mixup.draw(settings, torch.Generator().manual_seed(3))
    )
    weight = float(beta_distribution.ppf(_draws(3)[1], 0.8, 0.8))
    torch.testing.assert_close(mixed[0], weight * images[0] + (1 - weight) * images[3])
    low, high = 0.1 / 3, 0.9 + 0.1 / 3
    first = torch.tensor([high, low, low])  # label 0
    last = torch.tensor([low, high, low])  # label 1, the batch's last
    torch.testing.assert_close(targets[0], weight * first + (1 - weight) * last)
    torch.testing.assert_close(targets, reference.mixup_target(labels, 3, weight, 0.1))
    torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_cutmix_by_hand() -> None:
    images, labels = _batch()
    before = images.clone()
    settings = Mixing(classes=3, cutmix=1.0)
    mixed, targets = mixup.mix(
        images, labels, settings, mixup.draw(settings, torch.Generator().manual_seed(3))
    )
    assert torch.equal(images, before)
    _, share, row, column = _draws(3)
    # Beta(1, 1) is uniform: the draw is the share that stays.
    side, y, x = int(8 * (1 - share) ** 0.5), int(8 * row), int(8 * column)
    expected, area = images.clone(), 0
    for i in range(8):
        for j in range(8):
            inside = -(side // 2) <= i - y < (side + 1) // 2
            if inside and -(side // 2) <= j - x < (side + 1) // 2:
                expected[:, :, i, j] = images.flip(0)[:, :, i, j]
                area += 1
    assert 0 < area < 64
    assert torch.equal(mixed, expected)
    assert float(targets[0, 0]) == pytest.approx(1 - area / 64)
    assert float(targets[0, 1]) == pytest.approx(area / 64)


@pytest.mark.parametrize("weight", [0.0, 0.13, 0.5, 0.86, 1.0])
def test_rectangles_are_timms(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for row, column in ((0.0, 0.99), (0.4, 0.6), (0.999, 0.01)):
        places = iter((int(row * 20), int(column * 30)))
        monkeypatch.setattr(np.random, "randint", lambda *_, places=places, **__: next(places))
        expected = reference.rand_bbox((3, 20, 30), weight)
        assert mixup.rectangle((20, 30), weight, row, column) == tuple(map(int, expected))


def test_draws_have_their_distributions() -> None:
    images, labels = torch.zeros(2, 1, 64, 64), torch.tensor([0, 1])
    images[0] = 1
    settings = Mixing(classes=2, mixup=0.8, cutmix=1.0)
    generator = torch.Generator().manual_seed(1)
    weights, cuts = [], 0
    for _ in range(3000):
        mixed, targets = mixup.mix(images, labels, settings, mixup.draw(settings, generator))
        cut = bool(((mixed[0] == 0) | (mixed[0] == 1)).all())
        cuts += cut
        if not cut:
            weights.append(float(targets[0, 0]))
        # Targets say how much of an image is there.
        assert float(mixed[0].mean()) == pytest.approx(float(targets[0, 0]), abs=1e-5)
    assert cuts / 3000 == pytest.approx(0.5, abs=0.03)
    assert kstest(weights, beta_distribution(0.8, 0.8).cdf).pvalue > 0.01


def test_loss_of_soft_targets_by_hand() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
    targets = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    expected = -(targets * logits.log_softmax(1)).sum(1).mean()
    found = mixup.loss(logits, targets, Mixing(classes=3, mixup=0.8, label_smoothing=0.1))
    torch.testing.assert_close(found, expected)


def test_negative_alphas_are_refused() -> None:
    with pytest.raises(UserError, match=r"mixup is -1\.0; allowed: a number from 0 to 100"):
        Mixing(classes=3, mixup=-1.0)
