"""The three sizes at which a table runs: smoke, laptop and paper."""

from __future__ import annotations

from harness.errors import unknown
from harness.spec.backbones import BackboneSizes
from harness.spec.profile import Profile, Scale

PAPER = Profile(
    name="paper",
    backbones=BackboneSizes(image_size=224, scale="paper"),
)
"""The paper's Appendix B to the letter: ViT-B/16 at 224 px, all images, full recipes."""

LAPTOP = Profile(
    name="laptop",
    backbones=BackboneSizes(image_size=64, scale="laptop"),
    pretrain=Scale(epochs=1 / 25, batch_size=64, lr=4.0),
    finetune=Scale(epochs=1 / 5, batch_size=64, lr=2.0),
    supervised=Scale(epochs=1 / 20, batch_size=64, lr=2.5, drop_path=0.0),
    train_images=3000,
    eval_images=1000,
)
"""Real images at 64 px, small encoders, subsets: Table 1 in hours on two cores."""

SMOKE = Profile(
    name="smoke",
    backbones=BackboneSizes(image_size=32, scale="smoke"),
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
