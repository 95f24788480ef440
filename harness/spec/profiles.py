"""The three profiles that ship (smoke, laptop and paper), and those of plug-ins."""

from __future__ import annotations

from collections.abc import Mapping

from harness.sources import offers
from harness.spec.backbones import BackboneSizes
from harness.spec.profile import Profile, Scale

PAPER = Profile(
    name="paper",
    backbones=BackboneSizes(image_size=224, scale="paper"),
    evaluate_every=10,
)
"""As in the paper's Appendix B: ViT-B/16 at 224 px, all images, unscaled recipes. Every tenth epoch
and the last one are evaluated."""

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
"""The profiles that ship, by name."""


STORED_SIZE = max(p.stored_size for p in PROFILES.values())
"""Side in pixels at which images are stored unless another is asked for: enough for every profile.
"""


def known() -> Mapping[str, Profile]:
    """Return the profiles by name: those that ship, then those of plug-ins."""
    return {**PROFILES, **plugged().values}


def plugged() -> offers.Loaded:
    """Return the profiles of plug-ins."""
    return offers.loaded("profile", PROFILES, (Profile,))


def find(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        UserError: there is no profile of that name, or there are several.
    """
    if name in PROFILES and not offers.of("profile"):
        return PROFILES[name]
    plugins = plugged()
    profiles: dict[str, Profile] = {**PROFILES, **plugins.values}
    if name not in profiles or name in plugins.problems:
        raise plugins.missing("profile", name, profiles)
    return profiles[name]
