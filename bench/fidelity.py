"""How much of PIL's crops and evaluation images of the originals ours keep, by size of the store.

Crops of 0.2 to 1 of the area, as the paper draws them, are cut out of the stored image by the
harness's own code, and out of the original by PIL's antialiased bicubic filter at the same boxes.
Evaluation images are compared with PIL's antialiased bilinear filter on the whole original.
HARNESS_ARCHIVES may name the folder of official archives; generated originals need none.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harness.augment import view
from harness.augment.random_crop import random_boxes
from harness.data import registry
from harness.data.archive import Given, open_source
from harness.data.decode import decode
from harness.data.formats import open_image
from harness.spec.dataset import Item, Source
from harness.spec.profiles import PAPER

SIZES = (256, 448)
SIDE = PAPER.backbones.image_size
SAMPLE = 60
"""Images sampled of each archive, evenly over its listing."""

DOTS = (8, 12, 40)
"""Diameters in pixels of the dots on generated originals."""

GENERATED = {"512 x 512": (512, 512), "2240 x 1488": (1488, 2240)}
"""Height and width of generated originals by name."""


class Memory(Source):
    """A source of images in memory, encoded as PNG."""

    def __init__(self, images: Sequence[Image.Image]) -> None:
        """Encode the images; they are named by their number."""
        super().__init__(Path("memory"))
        self._files = {}
        for number, image in enumerate(images):
            stream = io.BytesIO()
            image.save(stream, "PNG")
            self._files[str(number)] = stream.getvalue()

    def names(self) -> list[str]:
        """Return the numbers."""
        return list(self._files)

    def read(self, name: str) -> bytes:
        """Return an encoded image."""
        return self._files[name]

    def close(self) -> None:
        """Do nothing: the images are in memory."""


def measure() -> Iterator[dict]:
    """Yield the fidelity of generated originals and of every archive in the folder, by size."""
    for name, shape in GENERATED.items():
        images, dots = generated(shape, count=12)
        for size in SIZES:
            yield {"what": f"generated, {name}", "store": size} | compare(images, size, dots=dots)
    folder = os.environ.get("HARNESS_ARCHIVES")
    for name in ("btmd", "ham10000", "busi"):
        archive = Path(folder or "") / f"{name}.zip"
        if folder is None or not archive.exists():
            yield {"what": f"{name} skipped: HARNESS_ARCHIVES does not hold {name}.zip"}
            continue
        images = sampled(name, archive)
        for size in SIZES:
            yield {"what": f"{name}, {archive.name}", "store": size} | compare(images, size)


def sampled(name: str, archive: Path) -> list[Image.Image]:
    """Return originals of an archive, as the decoder opens them."""
    dataset = registry.find(name)
    mode = "L" if dataset.channels == 1 else "RGB"
    with open_source(Given((archive,))) as source:
        items = sorted(dataset.listing(source), key=lambda item: item.name)
        chosen = items[:: max(1, len(items) // SAMPLE)][:SAMPLE]
        return [open_image(source.read(item.image)).convert(mode) for item in chosen]


def generated(
    shape: tuple[int, int], count: int
) -> tuple[list[Image.Image], list[list[tuple[int, int, int]]]]:
    """Draw textured originals with dark dots; return them and the dots (diameter, row, column).

    The texture's amplitude falls as one over the frequency, as that of photographs does.
    """
    random = np.random.default_rng(0)
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    rows, columns = np.mgrid[:height, :width]
    images, places = [], []
    for _ in range(count):
        phase = random.uniform(0, 2 * np.pi, frequency.shape)
        texture = np.fft.irfft2(np.exp(1j * phase) / frequency, s=shape)
        values = 150 + 20 * texture / texture.std()
        dots = []
        for diameter in DOTS * 3:
            row, column = (int(random.integers(n // 4, 3 * n // 4)) for n in shape)
            inside = np.hypot(rows - row, columns - column) <= diameter / 2
            values = np.where(inside, values - 90, values)
            dots.append((diameter, row, column))
        images.append(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)))
        places.append(dots)
    return images, places


def compare(
    images: Sequence[Image.Image],
    size: int,
    *,
    dots: Sequence[Sequence[tuple[int, int, int]]] | None = None,
    crops: int = 4,
    store: Callable[[Source, Item, int, int], np.ndarray] | None = None,
) -> dict:
    """Compare crops and evaluation images with PIL's.

    Args:
        images: the originals, greyscale or RGB.
        size: side of the store.
        dots: of each original, (diameter, row, column); None for none.
        crops: random crops of each original.
        store: makes the stored image, by default as ``harness data prepare`` does.
    """
    channels = len(images[0].getbands())
    source = Memory(images)
    make = store or (lambda *given: decode(*given).image)
    stored = [
        make(source, Item(name=name, label=0, image=name), size, channels)
        for name in source.names()
    ]
    generator = torch.Generator().manual_seed(0)
    settings = view.Augmentation()
    upper: list[tuple[float, float]] = []
    differences = []
    contrasts: dict[int, list[tuple[float, float]]] = {}
    for number, (image, pixels) in enumerate(zip(images, stored, strict=True)):
        shape = torch.tensor([[image.height, image.width]] * crops)
        for box in random_boxes(shape, settings, generator):
            ours, reference = _crops(image, pixels, box, settings)
            upper.append((_upper_energy(ours), _upper_energy(reference)))
        whole = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        ours = _grey_levels(view.stretch(_batch(pixels), SIDE, _filled(image, size)), channels)
        differences.append(float(np.abs(ours - np.asarray(whole, np.float64)).mean()))
        for diameter, row, column in (dots or [()] * len(images))[number]:
            box = _around(image, row, column)
            pair = _crops(image, pixels, box, settings)
            scale = SIDE / (float(box[2]) * image.height), SIDE / (float(box[3]) * image.width)
            centre = (
                (row + 0.5 - float(box[0]) * image.height) * scale[0],
                (column + 0.5 - float(box[1]) * image.width) * scale[1],
            )
            found = [_contrast(crop, centre, diameter * scale[0] / 2) for crop in pair]
            contrasts.setdefault(diameter, []).append((found[0], found[1]))
    energies = np.asarray(upper)
    result: dict[str, object] = {
        "images": len(images),
        "crops": len(upper),
        "upper_band": round(float((energies[:, 0] / energies[:, 1]).mean()), 4),
        "upper_band_of_sums": round(float(energies[:, 0].sum() / energies[:, 1].sum()), 4),
        "evaluation_difference": round(float(np.mean(differences)), 4),
    }
    for diameter, pairs in contrasts.items():
        ours_sum, reference_sum = np.asarray(pairs).sum(0)
        result[f"contrast_{diameter}_px"] = round(float(ours_sum / reference_sum), 4)
    return result


def _crops(
    image: Image.Image, pixels: np.ndarray, box: torch.Tensor, settings: view.Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Return our crop of the stored image and PIL's of the original, (side, side) grey levels."""
    ours = view.view(
        _batch(pixels),
        view.within(box[None].float(), _filled(image, len(pixels))),
        torch.zeros(1, dtype=torch.bool),
        SIDE,
        settings,
    )
    top, left, height, width = (
        round(float(fraction) * pixels_of)
        for fraction, pixels_of in zip(box, (image.height, image.width) * 2, strict=True)
    )
    cropped = image.crop((left, top, left + width, top + height))
    reference = np.asarray(cropped.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
    levels = _grey_levels(ours, len(image.getbands()))
    return _grey(levels), _grey(reference)


def _filled(image: Image.Image, size: int) -> torch.Tensor:
    """Return the shares of a stored image's sides that the original fills, (1, 2)."""
    return torch.tensor([[min(image.height, size) / size, min(image.width, size) / size]])


def _batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].contiguous()


def _grey_levels(normalised: torch.Tensor, channels: int) -> np.ndarray:
    """Undo the normalisation and round to whole grey levels, as PIL's results are."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (view.MEAN, view.STD))
    levels = ((normalised[0] * std + mean) * 255).round().clamp(0, 255).double().numpy()
    return levels[0] if channels == 1 else np.moveaxis(levels, 0, -1)


def _grey(levels: np.ndarray) -> np.ndarray:
    return levels if levels.ndim == 2 else levels.mean(-1)


def _upper_energy(crop: np.ndarray) -> float:
    """Return the energy between half the Nyquist frequency and it (0.25 to 0.5 per pixel).

    A Hann window keeps the jump between opposite edges out of the spectrum.
    """
    taper = np.hanning(SIDE)
    spectrum = np.abs(np.fft.fft2((crop - crop.mean()) * taper[:, None] * taper[None])) ** 2
    frequency = np.fft.fftfreq(SIDE)
    radius = np.hypot(frequency[:, None], frequency[None])
    # At least the rounding of one grey level, so that a crop of one colour compares as equal.
    return float(spectrum[(radius >= 0.25) & (radius <= 0.5)].sum()) + 1.0


def _around(image: Image.Image, row: int, column: int) -> torch.Tensor:
    """Return the box of a fifth of the area that has a place in its middle, as fractions."""
    side = 0.2**0.5
    top = min(max(row / image.height - side / 2, 0), 1 - side)
    left = min(max(column / image.width - side / 2, 0), 1 - side)
    height, width = round(side * image.height), round(side * image.width)
    top, left = round(top * image.height), round(left * image.width)
    return torch.tensor(
        [top / image.height, left / image.width, height / image.height, width / image.width]
    )


def _contrast(crop: np.ndarray, centre: tuple[float, float], radius: float) -> float:
    """Return the mean of a ring around a dot minus the mean of the dot, in grey levels."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = np.hypot(rows - centre[0], columns - centre[1])
    inside = distance <= max(radius, 0.75)
    ring = (distance > 2 * radius + 1) & (distance <= 2 * radius + 4)
    return float(crop[ring].mean() - crop[inside].mean())
