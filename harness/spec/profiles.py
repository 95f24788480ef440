"""The three shipped profiles: smoke, laptop and paper."""

from __future__ import annotations

from harness.errors import unknown
from harness.spec.backbones import BackboneSizes
from harness.spec.profile import Profile, Scale

PAPER = Profile(
    name="paper",
    backbones=BackboneSizes(image_size=224, scale="paper"),
)
"""As in the paper's Appendix B: ViT-B/16 at 224 px, all images, unscaled recipes."""

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
    supervised=Scale(epochs=1 / 5, batch_size=32, lr=2.5),
    train_images=256,
    eval_images=128,
    phantoms=True,
)
"""A test that everything works: seconds per stage, generated images if the real ones are missing.

Pre-training takes 480 steps: after 80, a probe of no method's encoder beats one of its untrained
encoder. Supervised training takes as many: after 120, ViT-B gives every image the same class."""

PROFILES = {p.name: p for p in (SMOKE, LAPTOP, PAPER)}
"""The profiles by name."""


STORED_SIZE = max(p.stored_size for p in PROFILES.values())
"""Side in pixels at which images are stored unless another is asked for: enough for every profile.
"""


def find(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        UserError: there is no profile of that name.
    """
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]
