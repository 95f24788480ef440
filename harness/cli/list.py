"""``harness list``: list what there is, what plug-ins offer included, and where each comes from.

Summaries are read from docstrings, without importing files of experiments and methods or torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.console import note, say, warn_once
from harness.data import registry as datasets
from harness.errors import UserError
from harness.evaluate import known
from harness.execute import launch
from harness.plan import catalog
from harness.plan.catalog import BUILT_IN, Component
from harness.plan.settings import folder_of
from harness.sources import offers
from harness.sources.offers import Kind
from harness.spec import profiles
from harness.spec.profile import Profile

Line = tuple[str, str, str]
"""Name, origin and description of what is listed."""


def run(args: argparse.Namespace) -> int:
    """Print experiments, methods, data sets, metrics, profiles and launchers."""
    root = folder_of("HARNESS_DATA", "data")
    del args
    shipped = catalog.experiments().values()
    sections: tuple[tuple[str, Iterable[Line]], ...] = (
        ("Experiments", _offered("table", [c for c in shipped if not c.sweep])),
        ("Sweeps (harness sweep NAME)", _offered("sweep", [c for c in shipped if c.sweep])),
        ("Methods", _offered("method", list(catalog.methods().values()))),
        ("Data sets", _datasets(root)),
        ("Metrics (--metrics NAME)", _metrics()),
        ("Profiles", _profiles()),
        ("Launchers (--launcher NAME)", _launchers()),
    )
    for title, found in sections:
        say(f"{title}:")
        lines = list(found)
        widths = [max((len(line[i]) for line in lines), default=0) for i in (0, 1)]
        for name, origin, text in lines:
            say(f"  {name:<{widths[0]}}  {origin:<{widths[1]}}  {text}".rstrip())
    for problem in datasets.problems(root):
        note(problem)
    return 0


def _offered(kind: Kind, shipped: Sequence[Component]) -> Iterable[Line]:
    """Yield what is listed without being loaded; a line says which names several have."""
    yield from ((c.name, c.origin, c.summary) for c in shipped)
    taken = catalog.EXPERIMENTS if kind in catalog.EXPERIMENTS else (kind,)
    names = catalog.experiments() if kind in catalog.EXPERIMENTS else catalog.methods()
    for offer in offers.of(kind):
        yield offer.name, offer.origin, offer.summary
        try:
            offers.find(offer.name, taken, names)
        except UserError as error:
            warn_once(str(error))


def _datasets(root: Path) -> Iterable[Line]:
    origins = datasets.plugged().origins
    for dataset in datasets.datasets(root).values():
        added = BUILT_IN if dataset.name in datasets.built_in() else f"folder {root}"
        text = f"{dataset.title}: {sum(dataset.counts)} images, {len(dataset.classes)} classes"
        yield dataset.name, origins.get(dataset.name, added), text


def _metrics() -> Iterable[Line]:
    plugged = known.plugged()
    for metric in (*known.shipped().values(), *plugged.values.values()):
        yield metric.name, plugged.origins.get(metric.name, BUILT_IN), metric.title


def _profiles() -> Iterable[Line]:
    origins = profiles.plugged().origins
    for profile in profiles.known().values():
        yield profile.name, origins.get(profile.name, BUILT_IN), _sizes(profile)


def _sizes(profile: Profile) -> str:
    vit = profile.backbones.vit
    images = f"at most {profile.train_images or 'all'} training images"
    return f"{profile.backbones.image_size} px, ViT {vit.width}x{vit.depth}, {images}"


def _launchers() -> Iterable[Line]:
    origins = launch.plugged().origins
    for name, launcher in launch.launchers().items():
        doc = (type(launcher).__doc__ or "").partition("\n")[0]
        yield name, origins.get(name, BUILT_IN), doc
