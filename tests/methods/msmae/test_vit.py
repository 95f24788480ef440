"""The encoder's block against timm's, with the same weights."""

from __future__ import annotations

import pytest
import torch
from timm.models import vision_transformer

from harness.methods.msmae.vit import Block, norm_layer


@pytest.mark.parametrize("fused", [True, False])
def test_a_block_is_timms_to_the_bit_in_both_passes(*, fused: bool) -> None:
    theirs = vision_transformer.Block(48, 3, qkv_bias=True, norm_layer=norm_layer)
    own = Block(48, 3, qkv_bias=True, norm_layer=norm_layer)
    own.load_state_dict(theirs.state_dict())
    tokens = torch.randn(5, 17, 48, generator=torch.Generator().manual_seed(0))
    passes = []
    for block in (own, theirs):
        block.attn.fused_attn = fused
        given = tokens.clone().requires_grad_()
        output = block(given)
        output.square().sum().backward()
        passes.append([output, given.grad, *(p.grad for p in block.parameters())])
    assert len(passes[0]) == 14
    assert all(torch.equal(a, b) for a, b in zip(*passes, strict=True))


def test_the_fused_kernel_gets_views_of_one_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def noted(*parts: torch.Tensor) -> torch.Tensor:
        seen.extend(parts)
        return plain(*parts)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    Block(48, 3, qkv_bias=True, norm_layer=norm_layer)(torch.randn(5, 17, 48))
    assert len({part.untyped_storage().data_ptr() for part in seen}) == 1
    assert {part.stride() for part in seen} == {(17 * 3 * 48, 16, 3 * 48, 1)}
