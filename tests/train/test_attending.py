"""Attention of encoders whose layers have no biases."""

from __future__ import annotations

import torch

from harness.methods.msmae.vit import VisionTransformer
from harness.spec.profiles import SMOKE
from harness.train.attending import class_attention


def _encoder() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(SMOKE.backbones.vit, 32).eval()


def test_attention_without_biases_is_that_with_zeros() -> None:
    encoder, images = _encoder(), torch.rand(2, 3, 32, 32)
    linear = encoder.blocks[-1].attn.qkv
    torch.nn.init.zeros_(linear.bias)
    expected = class_attention(encoder, images)
    linear.register_parameter("bias", None)
    names = [name for name, _ in encoder.named_parameters()]
    assert torch.equal(class_attention(encoder, images), expected)
    assert expected.sum(-1).max() < 1.0  # that of [CLS] to itself is left out
    assert linear.bias is None
    assert [name for name, _ in encoder.named_parameters()] == names
