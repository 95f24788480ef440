"""Data sets of users: class folders and tables, their description, faults, DICOM, 16 bits."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.data import intensity, own, own_pixels, registry
from harness.data.intensity import Intensity
from harness.data.prepared import open_store, read_manifest
from harness.errors import UserError
from tests import prepared
from tests.archives import encoded, picture
from tests.conftest import Harness


class Answer(NamedTuple):
    """What a command returned and printed."""

    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


@pytest.fixture
def ask(harness: Harness) -> Ask:
    """Run a command in this process."""
    return lambda *words: Answer(*harness(*map(str, words)))


COLUMNS = ("--image-column", "file", "--label-column", "dx")


def _folders(root: Path, layout: Mapping[str, int], mode: str = "RGB") -> Path:
    """Write as many images as given into each folder."""
    number = 0
    for folder, count in layout.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            content = encoded(picture(number, mode=mode))
            (root / folder / f"{index}.png").write_bytes(content)
            number += 1
    return root


def _table(path: Path, rows: list[tuple[str, ...]], delimiter: str = ",") -> Path:
    path.write_text("\n".join(delimiter.join(row) for row in rows) + "\n", encoding="utf-8")
    return path


def test_class_folders_become_a_data_set_like_any_other(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"10": 20, "2": 20})
    answer = ask(
        "data", "add", "mine", "--from", images, "--yes", "--size", "32", "--root", tmp_path
    )
    assert answer.code == 0, answer.err
    assert "40 images in 2 classes: '2' 20, '10' 20" in answer.out  # numbers in their order
    described = own.read(tmp_path, "mine")
    assert described is not None
    assert (described.classes, described.counts, described.channels) == (("2", "10"), (20, 20), 3)
    manifest = read_manifest(tmp_path, "mine")
    assert manifest is not None
    assert manifest.split == "clean"
    listed = ask("data", "list", "--root", tmp_path)
    assert "mine" in listed.out
    assert "prepared, 32 px" in listed.out
    again = ask("data", "prepare", "mine", "--size", "32", "--root", tmp_path)
    assert again.code == 0, again.err
    assert read_manifest(tmp_path, "mine") == manifest
    assert ask("data", "verify", "mine", "--root", tmp_path).code == 0
    # Only the folder that has it knows it.
    assert "mine" not in registry.datasets(tmp_path / "elsewhere")


def test_changed_images_are_refused_until_they_are_added_anew(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"a": 20, "b": 20})
    arguments = ("--from", images, "--yes", "--size", "32", "--root", tmp_path)
    assert ask("data", "add", "mine", *arguments).code == 0
    (images / "a" / "new.png").write_bytes(encoded(picture(99)))
    answer = ask("data", "prepare", "mine", "--root", tmp_path)
    assert answer.code == 2
    assert "a: expected 20, found 21" in answer.err
    assert "harness data add mine --replace" in answer.err
    answer = ask("data", "add", "mine", *arguments)
    assert answer.code == 2
    assert "--replace" in answer.err
    assert ask("data", "add", "mine", *arguments, "--replace").code == 0
    described = own.read(tmp_path, "mine")
    assert described is not None
    assert described.counts == (21, 20)


def test_an_image_in_two_classes_is_told(tmp_path: Path, ask: Ask) -> None:
    folder = _folders(tmp_path / "photos", {"even": 4, "odd": 4})
    content = (folder / "even" / "1.png").read_bytes()
    (folder / "odd" / "copy.png").write_bytes(content)
    added = ask("data", "add", "mine", "--from", folder, "--yes")
    assert added.code == 0, added.err
    told = added.out + added.err
    assert "warning: 1 image of mine with the same pixels in several classes:" in told
    assert "even/1 (even) = odd/copy (odd)" in told
    assert "clean keeps together 2 images in 1 set, the largest of 2" in told


def test_without_a_terminal_nothing_is_added_unasked(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"a": 4, "b": 4})
    answer = ask("data", "add", "mine", "--from", images, "--root", tmp_path / "data")
    assert answer.code == 2
    assert "8 images in 2 classes" in answer.out
    assert "--yes" in answer.err
    assert not (tmp_path / "data").exists()


def test_folders_of_parts_are_the_given_split(tmp_path: Path, ask: Ask) -> None:
    layout = {
        "Training/a": 12,
        "Training/b": 12,
        "valid/a": 4,
        "valid/b": 4,
        "test/a": 6,
        "test/b": 6,
    }
    images = _folders(tmp_path / "images" / "top", layout)
    answer = ask(
        "data", "add", "mine", "--from", images.parent, "--yes", "--size", "32", "--root", tmp_path
    )
    assert answer.code == 0, answer.err
    manifest = read_manifest(tmp_path, "mine")
    assert manifest is not None
    assert manifest.split == "given"
    assert manifest.parts["given"] == {"train": 24, "val": 8, "test": 12}
    store = open_store(tmp_path, "mine")
    assert sorted(n.split("/")[0] for n in set(store.part("given", "val").names)) == ["top"] * 8


def test_a_table_with_patients_keeps_them_together(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"x": 30, "y": 30})
    rows = [
        (f"{folder}/{i}.png", f"{label}.0", f"P{i // 3:03d}", "007")
        for label, folder in enumerate("xy")
        for i in range(30)
    ]
    table = _table(tmp_path / "t.csv", [("file", "dx", "patient", "site"), *rows], ";")
    arguments = (
        "--from",
        images,
        "--csv",
        table,
        *COLUMNS,
        "--yes",
        "--size",
        "32",
        "--root",
        tmp_path,
    )
    warned = ask("data", "add", "mine", *arguments)
    assert warned.code == 0, warned.err
    assert "'0' 30, '1' 30" in warned.out  # a spreadsheet's 1.0 is 1
    assert "--group-column 'patient'" in warned.out
    kept = ask("data", "add", "mine", *arguments, "--group-column", "patient", "--replace")
    assert kept.code == 0, kept.err
    assert "groups: 10" in kept.out
    assert "--group-column" not in kept.out
    store = open_store(tmp_path, "mine")
    parts = {part: set(store.part("clean", part).groups or ()) for part in ("train", "val", "test")}
    assert parts["train"]
    assert not parts["train"] & parts["val"]
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & parts["test"]


FAULTS: tuple[tuple[str, list[tuple[str, ...]], tuple[str, ...], str], ...] = (
    (
        "unknown column",
        [("file", "dx"), ("x/0.png", "a")],
        ("--label-column", "diagnosis"),
        "no column 'diagnosis'; it has file, dx",
    ),
    (
        "missing label",
        [("file", "dx"), ("x/0.png", ""), ("x/1.png", "b")],
        (),
        "1 rows have nothing in column 'dx': rows 2",
    ),
    (
        "pandas' missing group",
        [("file", "dx", "p"), ("x/0.png", "a", "nan"), ("x/1.png", "b", "NaN")],
        ("--group-column", "p"),
        "2 rows have nothing in column 'p': rows 2, 3",
    ),
    (
        "capitals",
        [("file", "dx"), ("x/0.png", "a"), ("x/1.png", "A")],
        (),
        "differ only in capitals",
    ),
    (
        "one column for two",
        [("file", "dx"), ("x/0.png", "a"), ("x/1.png", "b")],
        ("--group-column", "dx"),
        "'dx' is named for two purposes",
    ),
    (
        "missing image",
        [("file", "dx"), ("x/0.png", "a"), ("gone.png", "b")],
        (),
        "1 files that are not in",
    ),
    (
        "image outside",
        [("file", "dx"), ("../secret.png", "a"), ("x/1.png", "b")],
        (),
        "../secret.png",
    ),
    ("twice", [("file", "dx"), ("x/0.png", "a"), ("x/0", "b")], (), "several rows: x/0.png"),
    ("ambiguous", [("file", "dx"), ("0.png", "a"), ("x/1.png", "b")], (), "fit 0.png"),
    ("one class", [("file", "dx"), ("x/0.png", "a"), ("x/1.png", "a")], (), "of one class"),
    (
        "unknown part",
        [("file", "dx", "p"), ("x/0.png", "a", "train"), ("x/1.png", "b", "other")],
        ("--split-column", "p"),
        "column 'p' has 'other'; allowed: train",
    ),
    (
        "only training",
        [("file", "dx", "p"), ("x/0.png", "a", "train"), ("x/1.png", "b", "train")],
        ("--split-column", "p"),
        "needed are train and test",
    ),
)


@pytest.mark.parametrize(
    ("rows", "options", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_faults_of_tables_are_one_line_and_write_nothing(
    tmp_path: Path,
    ask: Ask,
    rows: list[tuple[str, ...]],
    options: tuple[str, ...],
    message: str,
) -> None:
    images = _folders(tmp_path / "images", {"x": 3, "y": 3})
    table = _table(tmp_path / "t.csv", rows)
    columns = [*COLUMNS[:2], *(options if "--label-column" in options else COLUMNS[2:])]
    more = [] if "--label-column" in options else options
    answer = ask(
        "data",
        "add",
        "mine",
        "--from",
        images,
        "--csv",
        table,
        *columns,
        *more,
        "--yes",
        "--root",
        tmp_path / "data",
    )
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["btmd", "phantom", "Mine", "a b", "../x", ""])
def test_names_that_cannot_be_used_are_refused(tmp_path: Path, ask: Ask, name: str) -> None:
    answer = ask("data", "add", name, "--from", tmp_path, "--yes", "--root", tmp_path / "d")
    assert answer.code == 2
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "d").exists()


def test_masks_of_a_table_are_read(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"x": 12, "y": 12}, mode="L")
    for folder in ("x", "y"):
        for index in range(12):
            mask = Image.new("L", (40, 30))
            mask.paste(255, (0, 0, 5 + index, 10))
            mask.save(images / folder / f"{index}-m.png")
    rows = [(f"{f}/{i}.png", f, f"{f}/{i}-m") for f in "xy" for i in range(12)]
    table = _table(tmp_path / "t.csv", [("file", "dx", "lesion mask"), *rows])
    answer = ask(
        "data",
        "add",
        "mine",
        "--csv",
        table,
        "--from",
        images,
        *COLUMNS,
        "--mask-column",
        "lesion mask",
        "--yes",
        "--size",
        "64",
        "--root",
        tmp_path,
    )
    assert answer.code == 0, answer.err
    store = open_store(tmp_path, "mine").everything()
    areas = dict(zip(store.names, store.load_masks().sum((1, 2)), strict=True))
    assert areas["x/3"] == (5 + 3) * 10
    assert store.images.shape[3] == 1  # grey images are stored as one channel


def _wide(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    return stream.getvalue()


@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.int32])
def test_images_of_more_than_8_bits_need_a_range(tmp_path: Path, ask: Ask, kind: type) -> None:
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(6):
            values: np.ndarray = (np.arange(32 * 32).reshape(32, 32) + 100 * index).astype(kind)
            (tmp_path / "images" / label / f"{label}{index}.tif").write_bytes(_wide(values))
    arguments = ("--from", tmp_path / "images", "--yes", "--size", "32", "--root", tmp_path)
    answer = ask("data", "add", "mine", *arguments)
    assert answer.code == 2
    assert "12 images have more than 8 bits, with values from 0 to 1523" in answer.err
    answer = ask("data", "add", "mine", *arguments, "--range", "100,1100")
    assert answer.code == 0, answer.err
    described = own.read(tmp_path, "mine")
    assert described is not None
    assert described.intensity == Intensity(low=100, high=1100)
    store = open_store(tmp_path, "mine").everything()
    first = store.images[store.index[store.names.index("a0")], :, :, 0]
    expected = np.rint(np.clip((np.arange(1024.0) - 100) / 1000, 0, 1) * 255).reshape(32, 32)
    np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize("text", ["100", "5,5", "9,1", "nan,1", "a,b", "1,2,3"])
def test_ranges_that_are_none_are_refused(tmp_path: Path, ask: Ask, text: str) -> None:
    images = _folders(tmp_path / "images", {"a": 2, "b": 2})
    for option in ("--range", "--window"):
        if text == "5,5" and option == "--window":
            continue  # centre and width need no order
        answer = ask(
            "data",
            "add",
            "mine",
            "--from",
            images,
            f"{option}={text}",
            "--yes",
            "--root",
            tmp_path / "d",
            "--size",
            "16",
        )
        assert answer.code == 2, (option, text)
        assert len(answer.err.strip().splitlines()) == 1
        assert option in answer.err


def _dicom(values: np.ndarray, **tags: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.SOPClassUID, file.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    file.Rows, file.Columns = values.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.PixelData = values.astype("<u2").tobytes()
    for name, value in tags.items():
        setattr(file, name, value)
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


RAMP = np.arange(0, 4096, 64).reshape(8, 8)


def _pixels(content: bytes, intensity: Intensity) -> np.ndarray:
    return np.asarray(own_pixels.opener(intensity)(content, "L"))


def test_dicom_files_are_read_by_their_window_or_a_given_one() -> None:
    # DICOM PS3.3, C.11.2.1.2.1: values up to c - 0.5 - (w - 1) / 2 are black.
    low, high = 2048 - 0.5 - 1023 / 2, 2048 - 0.5 + 1023 / 2
    expected = np.rint(np.clip((RAMP - low) / (high - low), 0, 1) * 255)
    stated = _dicom(RAMP, WindowCenter=2048, WindowWidth=1024)
    np.testing.assert_array_equal(_pixels(stated, Intensity(window="file")), expected)
    given_window = intensity.window(2048, 1024)
    np.testing.assert_array_equal(_pixels(_dicom(RAMP), given_window), expected)
    rescaled = _dicom(RAMP, RescaleSlope=2, RescaleIntercept=-1024)
    both = Intensity(low=-1024, high=2 * 4095 - 1024)
    np.testing.assert_array_equal(_pixels(rescaled, both), np.rint(RAMP / 4095 * 255))
    inverted = _dicom(RAMP, PhotometricInterpretation="MONOCHROME1")
    straight = _pixels(_dicom(RAMP), given_window)
    np.testing.assert_array_equal(_pixels(inverted, given_window), 255 - straight)


def test_dicom_files_that_cannot_be_read_say_why() -> None:
    with pytest.raises(ValueError, match="states no window"):
        _pixels(_dicom(RAMP), Intensity(window="file"))
    with pytest.raises(ValueError, match=r"values from 0 to 4032.*--range LOW,HIGH"):
        _pixels(_dicom(RAMP), Intensity())
    with pytest.raises(ValueError, match="2 frames"):
        _pixels(_dicom(RAMP, NumberOfFrames=2), Intensity(low=0, high=1))
    with pytest.raises(ValueError, match="DICOM"):
        _pixels(_dicom(RAMP)[:400], Intensity(low=0, high=1))


def test_one_damaged_file_leaves_the_others_usable(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"a": 20, "b": 20})
    arguments = ("--from", images, "--yes", "--size", "32", "--root", tmp_path)
    assert ask("data", "add", "good", *arguments).code == 0
    assert ask("data", "add", "old", *arguments).code == 0
    (tmp_path / "bad.toml").write_text("}{")
    prepared.rewrite(tmp_path / "old" / "manifest.json", format=1)
    listed = ask("data", "list", "--root", tmp_path)
    assert listed.code == 0
    assert "good: prepared, 32 px" in listed.out
    assert "old: cannot be used:" in listed.out
    assert "has format 1, this version reads 3" in listed.out
    assert "bad.toml cannot be read" in listed.err
    assert ask("data", "verify", "good", "--root", tmp_path).code == 0
    for name in ("bad", "old"):
        answer = ask("data", "verify", name, "--root", tmp_path)
        assert answer.code == 2
        assert len(answer.err.strip().splitlines()) == 1


def test_a_description_that_the_store_does_not_fit_is_refused(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"a": 20, "b": 20, "c": 20})
    arguments = ("--from", images, "--yes", "--size", "32", "--root", tmp_path / "data")
    assert ask("data", "add", "mine", *arguments).code == 0
    path = tmp_path / "data" / "mine.toml"
    text = path.read_text()
    for old, new in (
        (
            'classes = ["a", "b", "c"]\ncounts = [20, 20, 20]',
            'classes = ["a", "b"]\ncounts = [1, 2]',
        ),
        ('["a", "b", "c"]', '["a", "c", "b"]'),
        ("[20, 20, 20]", "[20, 20, 21]"),
    ):
        path.write_text(text.replace(old, new))
        assert path.read_text() != text
        answer = ask(
            "plan",
            "table1",
            "--datasets",
            "mine",
            "--data",
            tmp_path / "data",
            "--profile",
            "smoke",
        )
        assert answer.code == 2
        assert "does not hold the classes that its description" in answer.err
        assert len(answer.err.strip().splitlines()) == 1


UNCLEAR: tuple[tuple[dict[str, int], str], ...] = (
    ({"train/a": 2, "train/b": 2, "test/a": 2, "test/b": 2, "extra/a": 2}, "lie extra"),
    ({"train/Benign": 2, "train/mal": 2, "test/benign": 2, "test/mal": 2}, "Benign, benign differ"),
    ({"Benign": 2, "benign": 2}, "differ only in capitals"),
)


@pytest.mark.parametrize(("layout", "message"), UNCLEAR)
def test_folders_that_can_be_understood_in_two_ways_are_refused(
    tmp_path: Path, ask: Ask, layout: dict[str, int], message: str
) -> None:
    images = _folders(tmp_path / "images", layout)
    answer = ask("data", "add", "x", "--from", images, "--yes", "--root", tmp_path / "data")
    assert answer.code == 2
    assert message in answer.err
    assert not (tmp_path / "data").exists()


def test_class_folders_below_others_are_pointed_out(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"site1/a": 8, "site1/b": 8, "site2/a": 8})
    answer = ask("data", "add", "x", "--from", images, "--yes", "--size", "16", "--root", tmp_path)
    assert answer.code == 0, answer.err
    assert "note: several classes hold folders a; the outer folders are taken" in answer.out


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(classes=st.lists(TEXTS, min_size=2, max_size=4, unique=True), title=TEXTS, source=TEXTS)
def test_any_text_survives_the_description(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], title: str, source: str
) -> None:
    root = tmp_path_factory.mktemp("own")
    described = own.OwnDataset(
        title=title,
        classes=tuple(classes),
        counts=(3,) * len(classes),
        channels=1,
        source=source,
        intensity=Intensity(low=0.1, high=4095.0),
    )
    own.write(root, "mine", described)
    assert own.read(root, "mine") == described


@pytest.mark.parametrize(
    "change",
    [
        "bogus = 3",
        "licence = 3",
        "classes = 3",
        "counts = [1]",
        "format = 9",
        "channels = 2",
        "}{",
        "split = 'other'",
    ],
)
def test_damaged_descriptions_are_refused_by_their_name(tmp_path: Path, change: str) -> None:
    described = own.OwnDataset(title="t", classes=("a", "b"), counts=(1, 1), channels=1, source="s")
    path = own.write(tmp_path, "mine", described)
    key = change.split(" ")[0]
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{key} =")]
    path.write_text("\n".join([change, *lines]))
    with pytest.raises(UserError, match=r"mine\.toml.*--replace"):
        own.read(tmp_path, "mine")
    assert tomllib  # the file is TOML that the standard library reads


def test_unknown_fields_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    described = own.OwnDataset(title="t", classes=("a", "b"), counts=(1, 1), channels=1, source="s")
    path = own.write(tmp_path, "mine", described)
    text = path.read_text()
    path.write_text(f"licens = 'CC0'\n{text}")
    with pytest.raises(
        UserError, match="No field 'licens'. Did you mean 'licence'.*Known: .*title"
    ):
        own.read(tmp_path, "mine")
    path.write_text(f"{text}\n[intensity]\nlows = 3\n")
    with pytest.raises(UserError, match=r"No field of \[intensity\] 'lows'.*Known: high, low, win"):
        own.read(tmp_path, "mine")


def test_a_licence_is_written_and_read(tmp_path: Path, ask: Ask) -> None:
    images = _folders(tmp_path / "images", {"a": 4, "b": 4})
    words = ("data", "add", "mine", "--from", images, "--yes", "--no-prepare", "--root", tmp_path)
    empty = ask(*words, "--licence", " ")
    assert empty.code == 2 and "--licence is empty" in empty.err
    assert ask(*words, "--licence", "CC BY 4.0").code == 0
    assert registry.find("mine", tmp_path).licence == "CC BY 4.0"  # what cards show
    assert ask(*words, "--replace").code == 0
    assert registry.find("mine", tmp_path).licence == "the user's own data"
