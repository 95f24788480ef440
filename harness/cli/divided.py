"""What the command line says about the splits of a store, and ``harness data verify``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import note, say
from harness.data import registry
from harness.errors import Damaged, UserError, listed, shown
from harness.wording import counted

if TYPE_CHECKING:
    from harness.data.prepared import Manifest, Store
    from harness.spec.dataset import Dataset


def split_lines(manifest: Manifest, dataset: Dataset) -> list[str]:
    """Return for each split its parts, with how many images have a twin in another."""
    from harness.data.overlap import sentence

    lines = []
    for split, parts in manifest.parts.items():
        sizes = ", ".join(f"{part} {count}" for part, count in parts.items())
        found = [
            sentence(o, dataset.group_title)
            for o in manifest.overlaps
            if o.split == split and not o.clear
        ]
        lines.append(f"{split}: {sizes}; {'; '.join(found) or 'no twin in two parts'}")
    return lines


def clean_lines(root: Path, dataset: Dataset) -> list[str]:
    """Return what the clean split keeps together, and what of its shares it cannot keep."""
    from harness.data.prepared import open_store
    from harness.data.split import balance

    store = open_store(root, dataset.name)
    conflicts = _conflicts(store, dataset)
    if "clean" not in store.splits:
        none = "clean: none, as the images make fewer than three sets that belong together"
        return [none, *conflicts]
    joined = store.manifest.joined
    lines = ["clean has no images that belong together"]
    if joined.images:
        lines = [
            f"clean keeps together {counted(joined.images, 'image')} in"
            f" {counted(joined.components, 'set')}, the largest of {joined.largest}"
        ]
    uneven = balance(store.splits["clean"], store.everything().labels, dataset.classes)
    return [*lines, *([f"clean is uneven: {uneven}"] if uneven else []), *conflicts]


def _conflicts(store: Store, dataset: Dataset) -> list[str]:
    """Return a line on images whose pixels stand in several classes; none without any."""
    images, classes = store.everything(), dataset.classes
    labels: dict[str, dict[str, int]] = {}
    for pixels, name, label in zip(store.pixels, images.names, images.labels, strict=True):
        labels.setdefault(pixels, {})[str(name)] = int(label)
    several = [named for named in labels.values() if len(set(named.values())) > 1]
    if not several:
        return []
    sets = [" = ".join(f"{n} ({classes[label]})" for n, label in s.items()) for s in several]
    return [
        f"warning: {counted(len(several), 'image')} of {dataset.name} with the same pixels in"
        f" several classes: {listed(sets)}; one of the labels is wrong, remove it from the source"
    ]


def warnings(manifest: Manifest, dataset: Dataset) -> list[str]:
    """Return a line for each count of twins and shared groups in the parts of a given split."""
    from harness.data.overlap import sentence

    return [
        f"warning: the given split of {dataset.name}: {sentence(o, dataset.group_title)};"
        " --split clean has none"
        for o in manifest.overlaps
        if o.split == "given" and (o.exact or o.near or o.grouped)
    ]


def verify(args: argparse.Namespace) -> int:
    """Check stores against their manifests, print who has twins where, and return the exit code.

    It is 1 where something is damaged, as that of ``harness verify``.
    """
    from harness import files
    from harness.data import verify as verifying

    code, pairs = 0, []
    for dataset in registry.expand(args.name, args.root):
        wrong, lines = _verify(args.root, dataset)
        if wrong:
            note(f"{dataset.name}: {'; '.join(wrong)}")
            code = 1
            continue
        for line in lines:
            say(line)
        if args.pairs:
            pairs += verifying.pairs_of(args.root, dataset)
    if args.pairs:
        files.write_text(args.pairs, verifying.as_csv(pairs))
        say(f"{len(pairs)} pairs in {args.pairs}")
    return code


def _verify(root: Path, dataset: Dataset) -> tuple[list[str], list[str]]:
    """Return what is wrong with a store, and what is said of one with which nothing is.

    Raises:
        UserError: it is not prepared.
    """
    from harness.data import verify as verifying
    from harness.data.prepared import advice_for, open_store, read_manifest

    try:
        manifest = read_manifest(root, dataset.name)
    except Damaged as error:
        return [f"{shown(error.path)} {error.what}", advice_for(dataset.name)], []
    if manifest is None and root / dataset.name not in verifying.stores(root):
        raise UserError(
            f"Data set {dataset.name!r} is not prepared under {root}; run"
            f" `harness data prepare {dataset.name}`."
        )
    damaged = [f"{shown(path)} {what}" for path, what in verifying.damage(root / dataset.name)]
    if damaged:
        return [*damaged, advice_for(dataset.name)], []
    assert manifest is not None, "a missing manifest is damage"
    store = open_store(root, dataset.name)
    found = verifying.recount(store)
    wrong = verifying.problems(store, found)
    if wrong:
        return [*wrong, f"run `harness data prepare {dataset.name}` again"], []
    said = (
        *verifying.lines(store, found, dataset),
        *clean_lines(root, dataset),
        *manifest.remarks,
    )
    verified = f"{dataset.name}: verified, fingerprint {manifest.fingerprint}"
    return [], [verified, *(f"  {line}" for line in said)]
