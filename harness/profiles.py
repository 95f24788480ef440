"""The three sizes at which a table runs: smoke, laptop and paper."""

from __future__ import annotations

from harness.errors import unknown
from harness.spec import Encoders, Profile, ResNetSize, Scale, SwinSize, VitSize

PAPER = Profile(
    name="paper",
    encoders=Encoders(
        image_size=224,
        vit=VitSize(
            patch=16,
            width=768,
            depth=12,
            heads=12,
            decoder_width=512,
            decoder_depth=8,
            decoder_heads=16,
        ),
        swin=SwinSize(patch=4, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=7),
        resnet=ResNetSize(layers=(3, 4, 6, 3), width=64),
    ),
)
"""The paper's Appendix B to the letter: ViT-B/16 at 224 px, all images, full recipes."""

LAPTOP = Profile(
    name="laptop",
    encoders=Encoders(
        image_size=64,
        vit=VitSize(
            patch=8,
            width=96,
            depth=4,
            heads=3,
            decoder_width=64,
            decoder_depth=1,
            decoder_heads=4,
        ),
        swin=SwinSize(patch=4, width=32, depths=(1, 1, 2, 1), heads=(1, 2, 4, 8), window=4),
        resnet=ResNetSize(layers=(1, 1, 1, 1), width=16),
    ),
    pretrain=Scale(epochs=1 / 25, batch_size=64, lr=4.0),
    finetune=Scale(epochs=1 / 5, batch_size=64, lr=2.0),
    supervised=Scale(epochs=1 / 20, batch_size=64, lr=2.5, drop_path=0.0),
    train_images=3000,
    eval_images=1000,
)
"""Real images at 64 px, small encoders, subsets: Table 1 in hours on two cores."""

SMOKE = Profile(
    name="smoke",
    encoders=Encoders(
        image_size=32,
        vit=VitSize(
            patch=4,
            width=48,
            depth=2,
            heads=3,
            decoder_width=32,
            decoder_depth=1,
            decoder_heads=2,
        ),
        swin=SwinSize(patch=2, width=16, depths=(1, 1, 1, 1), heads=(1, 2, 4, 8), window=2),
        resnet=ResNetSize(layers=(1, 1, 1, 1), width=8),
    ),
    pretrain=Scale(epochs=1 / 5, batch_size=32, lr=6.0),
    finetune=Scale(epochs=1 / 5, batch_size=32, lr=2.0),
    supervised=Scale(epochs=1 / 20, batch_size=32, lr=2.5),
    train_images=256,
    eval_images=128,
    phantoms=True,
)
"""Does everything work: seconds a stage, generated images where the real ones are missing.

Pre-training takes 480 steps: with 80, no method beats a probe of its untrained encoder."""

PROFILES = {p.name: p for p in (SMOKE, LAPTOP, PAPER)}


def find(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]
