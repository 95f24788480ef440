"""The MAE decoder, run on visible and masked patches only; thrown patches are left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.methods.msmae.masking import Masks
from harness.methods.msmae.patches import sincos_table
from harness.methods.msmae.vit import Block, initialise, norm_layer, take
from harness.spec.backbones import VitSize


class Decoder(nn.Module):
    """Predict the pixels of masked patches from the visible tokens.

    Args:
        size: the encoder's width and the decoder's width, depth and heads.
        grid: patches along one side.
    """

    def __init__(self, size: VitSize, grid: int) -> None:
        """Build the layers with MAE's initialisation; position embeddings are not trained."""
        super().__init__()
        width = size.decoder_width
        self.embed = nn.Linear(size.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sincos_table(width, grid)[None], requires_grad=False)
        self.blocks = nn.ModuleList(
            Block(width, size.decoder_heads, qkv_bias=True, norm_layer=norm_layer)
            for _ in range(size.decoder_depth)
        )
        self.norm = norm_layer(width)
        self.predict = nn.Linear(width, size.patch**2 * 3)
        initialise(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, encoded: Tensor, masks: Masks) -> Tensor:
        """Return predictions (B, masked, P * P * 3) for ``masks.ids_mask``, in its order.

        Args:
            encoded: (B, 1 + visible, D) tokens after the encoder's final norm, the visible ones
                in the order of ``masks.ids_keep``.
            masks: which patches are visible, masked and thrown; the blocks run on
                1 + visible + masked tokens, never on thrown ones.

        Every token carries its own position embedding and attention is permutation equivariant,
        so MAE's step of restoring the original patch order is not needed.
        """
        tokens = self.embed(encoded)
        positions = self.pos_embed.expand(len(tokens), -1, -1)
        # Positions are added by patch index before the tokens are joined: after this line the order
        # of the sequence no longer matters.
        kept = torch.cat([positions[:, :1], take(positions[:, 1:], masks.ids_keep)], 1)
        visible = tokens + kept  # and [CLS]
        masked = self.mask_token + take(positions[:, 1:], masks.ids_mask)
        # (B, 1 + visible + masked, decoder width); masked last, so that they are one slice below.
        tokens = torch.cat([visible, masked.to(visible.dtype)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        predicted: Tensor = self.predict(self.norm(tokens[:, -masks.masked :]))
        return predicted
