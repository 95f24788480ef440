"""Phantom images: four generated data sets that resemble the real ones, with drawn lesions.

The background (anatomy, brightness, texture, artefacts) does not depend on the label; only the
lesion does. Every image is a function of its data set's name, its row and its label.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from harness import seed
from harness.data import twins
from harness.data.decode import Decoded
from harness.data.prepare import check, write_store
from harness.data.prepared import Manifest, read_manifest
from harness.data.sets._shapes import Canvas, blob, curve, disc, paint, smooth_noise, spiky
from harness.data.writing import Work
from harness.errors import UserError, unknown
from harness.spec.dataset import Dataset, Item, Listing, Source

SIZE = 64
"""Default side in pixels: enough for the smoke profile."""

Lesion = Callable[[Canvas, int, np.random.Generator], None]
"""Draws the lesion of a label."""

Background = Callable[[Canvas, np.random.Generator], None]
"""Draws the anatomy, which no label changes."""


def _fundus(canvas: Canvas, random: np.random.Generator) -> None:
    """Draw a reddish disc with an optic disc and two vessels."""
    y, x = 0.5 + random.normal(0, 0.02, 2)
    tint = np.array([0.75, 0.38, 0.18]) * random.uniform(0.8, 1.2)
    paint(canvas, disc(canvas, y, x, 0.46), tint)
    side = random.choice([-1.0, 1.0])
    paint(canvas, disc(canvas, y, x + 0.25 * side, 0.06), np.array([0.95, 0.8, 0.5]))
    for bend in (-1.0, 1.0):
        vessel = curve(canvas, (y, x + 0.25 * side), bend * random.uniform(0.15, 0.3), -0.5 * side)
        paint(canvas, vessel, np.array([0.45, 0.12, 0.08]), opacity=0.7)


def _grade(canvas: Canvas, label: int, random: np.random.Generator) -> None:
    """Draw the lesions of a grade of retinopathy.

    Grade 0 has none, grades 1 and 2 few and many red dots, grade 3 yellow exudates, grade 4 both.
    """
    red, yellow = np.array([0.35, 0.0, 0.0]), np.array([1.0, 0.95, 0.55])
    dots = (0, 3, 10, 0, 8)[label]
    exudates = (0, 0, 0, 5, 8)[label]
    for count, colour, radius in ((dots, red, 0.03), (exudates, yellow, 0.045)):
        for _ in range(count):
            angle = random.uniform(0, 2 * np.pi)
            distance = 0.33 * random.uniform(0.2, 1) ** 0.5
            y, x = 0.5 + distance * np.sin(angle), 0.5 + distance * np.cos(angle)
            paint(canvas, disc(canvas, y, x, radius), colour, lesion=True)


def _mri(canvas: Canvas, random: np.random.Generator) -> None:
    """Draw a skull, the brain within and two ventricles."""
    height, width = random.uniform(0.4, 0.45), random.uniform(0.33, 0.4)
    bright = random.uniform(0.85, 1.15)
    paint(canvas, disc(canvas, 0.5, 0.5, height, width), np.full(3, 0.75 * bright))
    paint(canvas, disc(canvas, 0.5, 0.5, height - 0.04, width - 0.04), np.full(3, 0.12))
    paint(canvas, disc(canvas, 0.5, 0.5, height - 0.06, width - 0.06), np.full(3, 0.42 * bright))
    for side in (-1, 1):
        ventricle = disc(canvas, 0.47, 0.5 + 0.05 * side, 0.09, 0.03)
        paint(canvas, ventricle, np.full(3, 0.15))


def _tumour(canvas: Canvas, label: int, random: np.random.Generator) -> None:
    """Draw a tumour by class; class 2 (notumor) has none.

    A glioma (0) is a ragged ring inside the brain, a meningioma (1) a bright disc at its rim, a
    pituitary tumour (3) a bright ellipse low in the middle.
    """
    side = random.choice([-1, 1])
    if label == 0:
        y, x = 0.4 + random.uniform(-0.08, 0.1), 0.5 + 0.17 * side
        shape = blob(canvas, (y, x), 0.12, 0.35, random)
        paint(canvas, shape, np.full(3, 0.8), lesion=True)
        paint(canvas, disc(canvas, y, x, 0.05), np.full(3, 0.05), lesion=True)
    elif label == 1:
        angle = random.uniform(-1.0, 1.0)
        y, x = 0.5 + 0.3 * np.sin(angle), 0.5 + 0.27 * np.cos(angle) * side
        paint(canvas, disc(canvas, y, x, 0.08), np.full(3, 1.0), lesion=True)
    elif label == 3:
        y, x = 0.74 + random.uniform(-0.02, 0.02), 0.5 + random.uniform(-0.02, 0.02)
        paint(canvas, disc(canvas, y, x, 0.06, 0.09), np.full(3, 0.95), lesion=True)


def _skin(canvas: Canvas, random: np.random.Generator) -> None:
    """Draw plain skin with up to three hairs."""
    tone = np.array([0.88, 0.68, 0.58]) * random.uniform(0.85, 1.1)
    paint(canvas, np.ones_like(canvas.rows), tone)
    for _ in range(random.integers(0, 4)):
        start = (random.uniform(0, 1), random.uniform(0, 0.3))
        hair = curve(canvas, start, random.uniform(-0.3, 0.3), 0.9, 0.006)
        paint(canvas, hair, np.array([0.2, 0.12, 0.1]), opacity=0.8)


PIGMENTS = (
    ((0.80, 0.35, 0.30), 0.30),
    ((0.75, 0.62, 0.78), 0.05),
    ((0.72, 0.58, 0.22), 0.30),
    ((0.62, 0.40, 0.34), 0.00),
    ((0.10, 0.08, 0.14), 0.45),
    ((0.45, 0.26, 0.14), 0.05),
    ((0.62, 0.05, 0.16), 0.05),
)
"""Colour and raggedness (see ``blob``) of the lesion, by class."""


def _mole(canvas: Canvas, label: int, random: np.random.Generator) -> None:
    """Draw a pigmented lesion with its class's colour and outline."""
    colour, ragged = PIGMENTS[label]
    y, x = 0.5 + random.uniform(-0.12, 0.12, 2)
    radius = random.uniform(0.14, 0.24)
    shade = np.array(colour) * random.uniform(0.93, 1.07)
    paint(canvas, blob(canvas, (y, x), radius, ragged, random), shade, lesion=True)


def _breast(canvas: Canvas, random: np.random.Generator) -> None:
    """Draw wavy layers of tissue that grow darker with depth."""
    layers = 0.45 + 0.12 * np.sin(canvas.rows * random.uniform(9, 16) + random.uniform(0, 6))
    layers = layers + 0.1 * smooth_noise(canvas, random, 4)
    depth = 1.1 - 0.5 * canvas.rows
    canvas.pixels[:] = (layers * depth)[..., None]


def _mass(canvas: Canvas, label: int, random: np.random.Generator) -> None:
    """Draw a mass by class, with the echo below it; class 2 (normal) has none.

    A benign mass (0) is a smooth oval with a bright area below, a malignant one (1) is spiked with
    a dark shadow below.
    """
    if label == 2:
        return
    y, x = random.uniform(0.35, 0.5), random.uniform(0.35, 0.65)
    if label == 0:
        shape = disc(canvas, y, x, random.uniform(0.1, 0.14), random.uniform(0.16, 0.22))
        behind, shade = disc(canvas, y + 0.25, x, 0.1, 0.12), 0.85
    else:
        shape = spiky(canvas, (y, x), random.uniform(0.12, 0.16), random)
        behind, shade = disc(canvas, y + 0.28, x, 0.18, 0.1), 0.05
    paint(canvas, behind, np.full(3, shade), opacity=0.6, lesion=True)
    paint(canvas, shape, np.full(3, 0.04), lesion=True)


FAMILIES: dict[str, tuple[Background, Lesion]] = {
    "phantom-fundus": (_fundus, _grade),
    "phantom-mri": (_mri, _tumour),
    "phantom-dermoscopy": (_skin, _mole),
    "phantom-ultrasound": (_breast, _mass),
}


def render(family: str, row: int, label: int | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image and its lesion mask.

    Args:
        family: name of the data set.
        row: number of the image; the background depends only on it and the family.
        label: the class; None draws no lesion.
        size: side in pixels.

    Returns:
        (S, S, 3) and (S, S), both uint8; the mask in {0, 1}.
    """
    background, lesion = FAMILIES[family]
    canvas = Canvas(size)
    background(canvas, np.random.default_rng(seed.derive(family, "background", row)))
    if label is not None:
        lesion(canvas, label, np.random.default_rng(seed.derive(family, "lesion", row)))
    noise = np.random.default_rng(seed.derive(family, "noise", row))
    shade = 1 + 0.08 * smooth_noise(canvas, noise, 3) + noise.normal(0, 0.03, (size, size))
    pixels = np.clip(canvas.pixels * shade[..., None] * 255, 0, 255)
    return np.rint(pixels).astype(np.uint8), canvas.lesion.astype(np.uint8)


def _decode(item: Item, family: str, size: int, channels: int) -> Decoded:
    """Render an item in place of decoding a file."""
    image, mask = render(family, int(item.image), item.label, size)
    image = image[..., :channels]
    pixel_hash = hashlib.sha256(image.tobytes()).hexdigest()
    drawn = Image.fromarray(image.squeeze(2) if channels == 1 else image)
    return Decoded(
        image=image,
        mask=mask,
        size=(size, size),
        pixels=pixel_hash,
        sketch=twins.sketch(drawn),
    )


def items(dataset: Dataset) -> Listing:
    """List the images of a generated data set, with its classes in random order."""
    labels = np.repeat(np.arange(len(dataset.counts)), dataset.counts)
    order = np.random.default_rng(seed.derive(dataset.name, "labels")).permutation(len(labels))
    return tuple(
        Item(name=f"{dataset.name}-{row:04d}", label=int(labels[o]), image=str(row), masks=("",))
        for row, o in enumerate(order)
    )


def ensure(root: Path, name: str, *, size: int = SIZE, again: bool = False) -> Manifest:
    """Generate a phantom data set unless its store exists, and return its manifest.

    Args:
        root: folder of the data stores.
        name: of the data set.
        size: side in pixels; an existing store keeps its size.
        again: generate it even if its store exists.

    Raises:
        UserError: no generated data set has that name, or the store cannot be written.
    """
    families = {d.name: d for d in DATASETS}
    if name not in families:
        raise unknown("phantom family", name, families)
    manifest = None if again else read_manifest(root, name)
    if manifest is not None:
        return manifest
    dataset = families[name]
    listing = items(dataset)
    check(dataset, listing)
    decoder = functools.partial(_decode, family=name, size=size, channels=dataset.channels)
    work = Work(dataset=dataset, items=listing, decoder=decoder, size=size)
    return write_store(work, root, keep=not again)


def _no_archive(source: Source) -> Listing:
    raise UserError(f"Phantom images are generated, not read from {source.path}; leave out --from.")


def _family(name: str, title: str, classes: tuple[str, ...], counts: tuple[int, ...]) -> Dataset:
    return Dataset(
        name=name,
        title=title,
        classes=classes,
        counts=counts,
        sizes={"train": 256, "eval": 128},
        channels=1 if name in ("phantom-mri", "phantom-ultrasound") else 3,
        source="generated: harness data prepare phantom",
        licence="CC0",
        listing=_no_archive,
    )


DATASETS = (
    _family(
        "phantom-fundus",
        "Phantom fundus",
        ("grade 0", "grade 1", "grade 2", "grade 3", "grade 4"),
        (120, 72, 72, 60, 60),
    ),
    _family(
        "phantom-mri",
        "Phantom brain MRI",
        ("glioma", "meningioma", "notumor", "pituitary"),
        (84, 84, 120, 96),
    ),
    _family(
        "phantom-dermoscopy",
        "Phantom dermoscopy",
        ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),
        (36, 42, 54, 30, 60, 126, 36),
    ),
    _family(
        "phantom-ultrasound",
        "Phantom breast ultrasound",
        ("benign", "malignant", "normal"),
        (168, 120, 96),
    ),
)
