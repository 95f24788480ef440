"""A run: a chain of stages on one data set under one profile and seed, and its key."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.canonical import describe, types_of
from harness.sources.digest import digest_of
from harness.spec import described
from harness.spec.dataset import Split
from harness.spec.profile import Profile
from harness.spec.recipe import Stage, backbone_of
from harness.spec.weights import Start
from harness.streams import stream_name

STARTING = ("harness.train.start",)
"""Modules that act on a run which starts from given weights, and on no other."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A chain of stages on one data set under one profile and seed.

    Attributes:
        dataset: name of the data set.
        data: fingerprint of the prepared data set, so that other contents are another run.
        split: name of the split.
        profile: the profile, to which the stages are already scaled.
        stages: the chain; each stage starts from the weights of the one before.
        seed: seed of all random draws.
        start: weights that the first stage's encoder starts from; None for those that are drawn.
            It is in the key and in no random stream: heads are drawn as without it.
    """

    dataset: str
    data: str
    split: Split
    profile: Profile
    stages: tuple[Stage, ...]
    seed: int
    start: Start | None = None

    def definition(
        self, num_stages: int | None = None, *, published: bool = False
    ) -> dict[str, Any]:
        """Return what defines the first ``num_stages`` stages, as plain JSON values.

        Of the profile these are the image size, the subset and the size of each stage's backbone;
        its name, other backbones and the scales of phases have no influence on the stages.

        Args:
            num_stages: how many stages of the chain; None for all.
            published: leave out settings fields that were added to a published type, as the names
                of random streams do (``harness.streams``).
        """
        return {
            **self._without_stages(),
            "stages": [
                self._stage_definition(stage, published=published)
                for stage in self.stages[:num_stages]
            ],
            "seed": self.seed,
            **({} if published else self._start_definition()),
        }

    def _without_stages(self) -> dict[str, Any]:
        """Return what defines every stage alike, without the seed."""
        return described.alike(self.dataset, self.data, self.split, *self._sizes())

    def _sizes(self) -> tuple[int, int | None, int | None]:
        """Return what every stage takes of the profile."""
        profile = self.profile
        return profile.backbones.image_size, profile.train_images, profile.eval_images

    def _start_definition(self) -> dict[str, Any]:
        start = None if self.start is None else self.start.definition
        return {} if start is None else {"start": start}

    def _stage_definition(self, stage: Stage, *, published: bool) -> dict[str, Any]:
        return {
            "phase": stage.phase,
            "method": describe(stage.method, published=published),
            "recipe": describe(stage.recipe, published=published),
            "backbone": describe(self._size_of(stage), published=published),
        }

    def _size_of(self, stage: Stage) -> Any:
        """Return the size of a stage's backbone; None where it has none."""
        backbone = backbone_of(stage.method)
        return None if backbone is None else self.profile.backbones.of(backbone)

    def key(self, num_stages: int | None = None) -> str:
        """Return the SHA-256 (hex) of the canonical JSON of the first ``num_stages`` stages."""
        count = len(self.stages[:num_stages])
        if count not in self._keys:
            stages = [described.stage_text(s, self._size_of(s)) for s in self.stages[:count]]
            rest = {"seed": self.seed, **self._start_definition()}
            texts = {"stages": f"[{','.join([text for text, _ in stages])}]"}
            alike = described.texts(self.dataset, self.data, self.split, *self._sizes())
            text = described.composed(rest, {**alike, **texts})
            key = hashlib.sha256(text.encode()).hexdigest()
            if any(changes for _, changes in stages):
                return key
            self._keys[count] = key
        return self._keys[count]

    @functools.cached_property
    def _keys(self) -> dict[int, str]:
        """Keys by number of stages, where nothing in these can be changed in place."""
        return {}

    def stream(self, num_stages: int | None = None) -> str:
        """Return the name from which the random seeds of the last of these stages are derived."""
        return stream_name(self.definition(num_stages, published=True))


def stage_title(definition: Mapping[str, Any]) -> str:
    """Return a title for the last stage of a definition: phase, methods, data set and seed.

    The methods are those of the chain, so that fine-tuning of MAE is not that of SimMIM: "finetune
    mae > finetune". A definition that was not made by this program, and lacks one of them, has no
    title.
    """
    try:
        phase = definition["stages"][-1]["phase"]
        methods = " > ".join(stage["method"]["type"] for stage in definition["stages"])
        return f"{phase} {methods} / {definition['dataset']} / seed {definition['seed']}"
    except (LookupError, TypeError):
        return "a stage without a title"


def sources(run: Run, num_stages: int) -> str:
    """Return the digest of the source code that affects a run's first ``num_stages`` stages."""
    kinds = (kind for stage in run.stages[:num_stages] for kind in types_of(stage))
    return digest_of(kinds, () if run.start is None else STARTING)


def parameters(run: Run) -> dict[str, Any]:
    """Return a run's settings as a flat dictionary of plain values, for experiment tracking."""
    flat: dict[str, Any] = {"dataset": run.dataset, "split": run.split, "seed": run.seed}
    if run.start is not None:
        flat["start"] = run.start.sha256
    for stage in run.stages:
        for part in ("method", "recipe"):
            for name, value in describe(getattr(stage, part), complete=True).items():
                flat[f"{stage.phase}.{part}.{name}"] = value
    return flat
