"""Layouts of HAM10000, BUSI and Messidor-2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from harness.data.archive import Given
from tests.archives import encoded, picture, write_folder, write_parts, write_zip, zipped
from tests.data.layouts import Layout, Members, in_folder, in_zip, members_of, renamed

TABLE = "HAM10000_metadata.csv"
ISIC = "ISIC2018_Task3_Training"
SEGMENTATIONS = "HAM10000_segmentations_lesion_tschandl"


def _rows() -> list[list[str]]:
    """Return lesion, image and diagnosis of the small HAM10000."""
    text = members_of("ham10000")[TABLE].decode()
    return [line.split(",") for line in text.splitlines()[1:]]


def _mask(size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[5:20, 5:25] = 255
    return encoded(Image.fromarray(pixels).convert("1"))


def _masks(folder: str = SEGMENTATIONS, stem: str = "_segmentation") -> Members:
    return {f"{folder}/{row[1]}{stem}.png": _mask() for row in _rows()}


def _parts(members: Members) -> tuple[Members, Members]:
    """Return the photographs of the two parts, named as in Dataverse's zips: without folder."""
    both = []
    for part in ("part_1", "part_2"):
        names = {n.rpartition("/")[2]: c for n, c in members.items() if part in n}
        both.append(names)
    return both[0], both[1]


def _dataverse(table: str, content: bytes) -> Members:
    first, second = _parts(members_of("ham10000"))
    return {
        "HAM10000_images_part_1.zip": zipped(first),
        "HAM10000_images_part_2.zip": zipped(second),
        "ISIC2018_Task3_Test_Images.zip": zipped({"ISIC_0099.jpg": encoded(picture(), ".jpg")}),
        "ISIC2018_Task3_Test_GroundTruth.csv": b"image,MEL\nISIC_0099,1.0\n",
        table: content,
    }


def _quoted(delimiter: str, end: str, mark: bytes = b"") -> bytes:
    """Return the metadata with quotes, as Dataverse writes them, and one more column."""
    rows = [["lesion_id", "image_id", "dx", "dx_type", "dataset"]]
    rows += [[*row, "vidir_modern"] for row in _rows()]
    text = end.join(delimiter.join(f'"{value}"' for value in row) for row in rows) + end
    return mark + text.encode()


def _challenge(*, lesions: bool) -> Members:
    """Return the third task of the ISIC 2018 challenge."""
    members = members_of("ham10000")
    columns = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    truth, grouping = ["image," + ",".join(columns)], ["image,lesion_id,diagnosis_confirm_type"]
    for lesion, image, diagnosis, _ in _rows():
        marks = ["1.0" if column.lower() == diagnosis else "0.0" for column in columns]
        truth.append(",".join([image, *marks]))
        grouping.append(f"{image},{lesion},histopathology")
    result = {f"{ISIC}_Input/{n.rpartition('/')[2]}": c for n, c in members.items() if n != TABLE}
    result[f"{ISIC}_GroundTruth/{ISIC}_GroundTruth.csv"] = "\n".join(truth).encode()
    result[f"{ISIC}_Input/LICENSE.txt"] = b"CC BY-NC"
    result["ISIC2018_Task3_Test_Input/ISIC_0099.jpg"] = encoded(picture(), ".jpg")
    if lesions:
        result[f"{ISIC}_LesionGroupings.csv"] = "\n".join(grouping).encode()
    return result


def _separate(folder: Path) -> Given:
    """Write photographs and table apart."""
    members = members_of("ham10000")
    table = write_folder(folder, {TABLE: members.pop(TABLE)}) / TABLE
    return Given((write_zip(folder / "photographs.zip", members), table))


def _with_masks(folder: Path) -> Given:
    photographs = write_zip(folder / "photographs.zip", members_of("ham10000"))
    return Given((photographs,), write_zip(folder / "masks.zip", _masks()))


def _photographs_as_masks(members: Members) -> Members:
    return {n: _mask() if n.endswith(".jpg") else c for n, c in members.items()}


HAM10000 = [
    Layout(
        "ham10000", "two folders and HAM10000_metadata.csv (Kaggle)", in_folder("ham10000", dict)
    ),
    Layout(
        "ham10000",
        "Kaggle's zip: every folder twice, in capitals and not, and hmnist tables",
        in_zip(
            "ham10000",
            lambda m: (
                m
                | renamed(m, ("HAM10000_images", "ham10000_images"))
                | {"hmnist_28_28_L.csv": b"pixel0000,label\n1,2\n"}
            ),
        ),
    ),
    Layout(
        "ham10000",
        "Dataverse's zips in a folder, HAM10000_metadata without ending",
        lambda folder: write_folder(
            folder, _dataverse("HAM10000_metadata", members_of("ham10000")[TABLE])
        ),
    ),
    Layout(
        "ham10000",
        "the same with HAM10000_metadata.tab: tabs and quotes",
        lambda folder: write_folder(
            folder, _dataverse("HAM10000_metadata.tab", _quoted("\t", "\n"))
        ),
    ),
    Layout(
        "ham10000",
        "dataverse_files.zip with the zips inside",
        lambda folder: write_zip(
            folder / "dataverse_files.zip", _dataverse("HAM10000_metadata.tab", _quoted("\t", "\n"))
        ),
    ),
    Layout(
        "ham10000",
        "table with semicolons, CRLF and byte-order mark (Excel)",
        in_zip("ham10000", lambda m: m | {TABLE: _quoted(";", "\r\n", b"\xef\xbb\xbf")}),
    ),
    Layout(
        "ham10000",
        "ISIC 2018 task 3 with its table of lesions",
        lambda folder: write_folder(folder, _challenge(lesions=True)),
    ),
    Layout(
        "ham10000",
        "ISIC 2018 task 3 without its table of lesions",
        lambda folder: write_folder(folder, _challenge(lesions=False)),
        remark="photographs of one lesion are not kept together",
        same=False,
    ),
    Layout("ham10000", "photographs and table given as two paths", _separate),
    Layout(
        "ham10000",
        "lesion masks in their folder beside the photographs",
        in_folder("ham10000", lambda m: m | _masks()),
        same=False,
    ),
    Layout(
        "ham10000",
        "lesion masks as a zip in the same folder",
        lambda folder: write_folder(
            folder, {"photographs.zip": zipped(members_of("ham10000")), "m.zip": zipped(_masks())}
        ),
        same=False,
    ),
    Layout("ham10000", "lesion masks given by --masks", _with_masks, same=False),
    Layout(
        "ham10000",
        "a folder masks/ whose files are named as the photographs are",
        in_folder("ham10000", lambda m: m | _masks("masks", "")),
        same=False,
    ),
    Layout(
        "ham10000",
        "masks of some images only",
        in_folder("ham10000", lambda m: m | dict(list(_masks().items())[:20])),
        "8 of 28 images have no mask",
    ),
    Layout(
        "ham10000",
        "masks of another size than the photographs",
        in_folder("ham10000", lambda m: m | dict.fromkeys(_masks(), _mask((80, 60)))),
        "the mask has 80 x 60 pixels, its image 40 x 30",
    ),
    Layout(
        "ham10000",
        "masks without a pixel",
        in_folder(
            "ham10000",
            lambda m: m | dict.fromkeys(_masks(), encoded(Image.new("L", (40, 30)))),
        ),
        "no pixel is set, but every image of its class has a lesion",
    ),
    Layout(
        "ham10000",
        "a folder resized/ beside the photographs",
        in_folder(
            "ham10000",
            lambda m: (
                m
                | {
                    f"resized/{row[1]}.jpg": encoded(picture(1, size=(20, 15)), ".jpg")
                    for row in _rows()
                }
            ),
        ),
        "names stand for two different files",
    ),
    Layout(
        "ham10000",
        "masks in place of the photographs",
        in_zip("ham10000", _photographs_as_masks),
        "sampled images are black or masks",
    ),
    Layout(
        "ham10000",
        "one image under all names",
        in_zip(
            "ham10000",
            lambda m: {n: encoded(picture(5)) if n.endswith("jpg") else c for n, c in m.items()},
        ),
        "28 of 28 sampled images are pixel for pixel equal",
    ),
    Layout(
        "ham10000",
        "only the first of the two parts",
        in_zip("ham10000", lambda m: {n: c for n, c in m.items() if "part_2" not in n}),
        "14 images of the table that are missing",
    ),
    Layout(
        "ham10000",
        "Dataverse's zips of which one download ended early",
        lambda folder: write_folder(
            folder,
            {
                n: c[:-300] if n == "HAM10000_images_part_2.zip" else c
                for n, c in _dataverse("HAM10000_metadata", members_of("ham10000")[TABLE]).items()
            },
        ),
        "HAM10000_images_part_2.zip is cut short or damaged",
    ),
    Layout(
        "ham10000",
        "no table",
        in_zip("ham10000", lambda m: {n: c for n, c in m.items() if n != TABLE}),
        "has no HAM10000_metadata.csv (Kaggle), HAM10000_metadata.tab (Harvard Dataverse) or"
        " ISIC2018_Task3_Training_GroundTruth.csv (ISIC 2018)",
    ),
    Layout(
        "ham10000",
        "an Excel workbook named .csv",
        in_zip("ham10000", lambda m: m | {TABLE: b"\xd0\xcf\x11\xe0" + bytes(600)}),
        "HAM10000_metadata.csv is an Excel workbook, not a table; save it as CSV",
    ),
]

TOP = "Dataset_BUSI_with_GT/"


def _busi(*pairs: tuple[str, str]) -> Layout:
    """Return the layout whose names differ from the official ones by the pairs."""
    example = renamed({f"{TOP}benign/benign (1)_mask.png": b""}, *pairs)
    return Layout("busi", f"`{next(iter(example))}`", in_zip("busi", lambda m: renamed(m, *pairs)))


BUSI = [
    Layout("busi", "zip with Dataset_BUSI_with_GT/benign/benign (1).png", in_zip("busi", dict)),
    _busi((TOP, "")),
    _busi((" (", "(")),
    _busi(("/benign (", "/Benign ("), ("/normal (", "/Normal (")),
    _busi((" (", "_(")),
    _busi((" (", "_"), (")", "")),
    _busi((")_mask", ") mask")),
    _busi(("(", "(00")),
    _busi(("benign/", "Benign/"), ("_mask", "_Mask"), (".png", ".PNG")),
    Layout(
        "busi",
        "masks in folders masks/ under the images' names",
        in_zip(
            "busi",
            lambda m: {
                (
                    n.replace("_mask.", ".").replace("/benign (", "/masks/benign (")
                    if n.endswith("_mask.png") and "/benign (" in n
                    else n
                ): c
                for n, c in m.items()
            },
        ),
    ),
    Layout(
        "busi",
        "a mask missing",
        in_zip("busi", lambda m: {n: c for n, c in m.items() if "normal (3)_mask" not in n}),
        "1 images without a mask: Dataset_BUSI_with_GT/normal/normal (3).png",
    ),
    Layout(
        "busi",
        "an image in another class's folder",
        in_zip("busi", lambda m: renamed(m, ("benign/benign (2)", "normal/benign (2)"))),
        "images or masks lie in another class's folder",
    ),
    Layout(
        "busi",
        "two different images of one name",
        in_zip("busi", lambda m: m | {f"{TOP}benign/benign(1).png": encoded(picture(77))}),
        "names stand for two different files: benign (1)",
    ),
]

GRADES = "messidor_data.csv"
ALONE = "the two eyes of a patient are not kept together"


def _table(delimiter: str = ",", *, gradable: bool = True, names: bool = False) -> bytes:
    """Return the grades: with another delimiter, without ungradable rows, with ADCIS's names."""
    lines = members_of("messidor2")[GRADES].decode().splitlines()
    if not gradable:
        lines = [line.rpartition(",")[0] for line in lines if not line.startswith("im99")]
    text = "\r\n".join(lines)
    if names:
        text = text.replace("id_code", "image_id").replace("diagnosis", "adjudicated_dr_grade")
    return text.replace(",", delimiter).encode()


def _pairs(header: str = "left;right", *, short: bool = False) -> bytes:
    """Return the pairs: the two images of each grade are one patient's eyes."""
    rows = [f"IM{grade}0.png;IM{grade}1.JPG" for grade in range(4 if short else 5)]
    lines = [header, *rows] if header else rows
    return "\r\n".join([*lines, "IM99.JPG;IM98.JPG", ""]).encode()


def _images() -> Members:
    return {n: c for n, c in members_of("messidor2").items() if n != GRADES}


def _in_parts(folder: Path, *, without: str = "", extra: str = "") -> Path:
    """Write the images as IMAGES.zip.001 to .004 beside the grades, as ADCIS gives them."""
    write_folder(folder, {GRADES: _table(), "messidor-2.csv": _pairs()})
    parts = write_parts(folder / "IMAGES.zip", zipped(_images()), 4)
    for part in parts:
        if part.name == without:
            part.unlink()
    if extra:
        write_zip(folder / extra, _images())
    return folder


MESSIDOR2 = [
    Layout(
        "messidor2", "IMAGES/ and messidor_data.csv", in_folder("messidor2", dict), remark=ALONE
    ),
    Layout(
        "messidor2",
        "messidor-2/messidor-2/preprocess/ (Kaggle)",
        in_zip("messidor2", lambda m: renamed(m, ("IMAGES", "messidor-2/messidor-2/preprocess"))),
        remark=ALONE,
    ),
    Layout(
        "messidor2",
        "columns image_id and adjudicated_dr_grade",
        in_folder("messidor2", lambda m: m | {GRADES: _table(names=True)}),
        remark=ALONE,
    ),
    Layout(
        "messidor2",
        "table with semicolons",
        in_folder("messidor2", lambda m: m | {GRADES: _table(";")}),
        remark=ALONE,
    ),
    Layout(
        "messidor2",
        "gradable rows alone, without the column that says so",
        in_folder("messidor2", lambda m: m | {GRADES: _table(gradable=False)}),
        remark=ALONE,
    ),
    Layout(
        "messidor2",
        "with messidor-2.csv (left;right)",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": _pairs()}),
        same=False,
    ),
    Layout(
        "messidor2",
        "with messidor-2.csv of other columns (Left eye, Right eye)",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": _pairs("Left eye;Right eye")}),
        same=False,
    ),
    Layout(
        "messidor2",
        "with messidor-2.csv without names of columns",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": _pairs("")}),
        same=False,
    ),
    Layout("messidor2", "IMAGES.zip.001 to .004 in a folder (ADCIS)", _in_parts, same=False),
    Layout(
        "messidor2",
        "the parts and the joined IMAGES.zip",
        lambda folder: _in_parts(folder, extra="IMAGES.zip"),
        same=False,
    ),
    Layout(
        "messidor2",
        "the first part and the tables given as paths",
        lambda folder: Given(
            (_in_parts(folder) / "IMAGES.zip.001", folder / GRADES, folder / "messidor-2.csv")
        ),
        same=False,
    ),
    Layout(
        "messidor2",
        "a part in the middle missing",
        lambda folder: _in_parts(folder, without="IMAGES.zip.002"),
        "1 of its parts are missing: IMAGES.zip.002; put them beside the others",
    ),
    Layout(
        "messidor2",
        "the last part missing",
        lambda folder: _in_parts(folder, without="IMAGES.zip.004"),
        "Is a part after IMAGES.zip.003 missing?",
    ),
    Layout(
        "messidor2",
        "a zip that was split by zip itself (IMAGES.z01, IMAGES.zip)",
        lambda folder: write_folder(
            folder, {GRADES: _table(), "IMAGES.z01": b"PK\7\x08", "IMAGES.zip": b"PK\1\2"}
        ),
        "is a part of a split zip archive; join it: zip -s 0 IMAGES.zip --out joined.zip",
    ),
    Layout(
        "messidor2",
        "no table of grades",
        in_folder("messidor2", lambda m: _images() | {"messidor-2.csv": _pairs()}),
        "put messidor_data.csv (Kaggle, google-brain/messidor2-dr-grades) beside the images",
    ),
    Layout(
        "messidor2",
        "images missing",
        in_folder("messidor2", lambda m: {n: c for n, c in m.items() if "IM31" not in n}),
        "1 graded images are missing: im31.jpg",
    ),
    Layout(
        "messidor2",
        "table of pairs that lacks images",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": _pairs(short=True)}),
        "messidor-2.csv lacks 2 of 10 images",
    ),
    Layout(
        "messidor2",
        "table of pairs that names an image twice",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": _pairs() + b"IM00.png;IM97.png\n"}),
        "messidor-2.csv has 1 images in two rows: im00",
    ),
    Layout(
        "messidor2",
        "table of pairs of three columns",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": b"a;b;c\n1;2;3\n"}),
        "needed: one for the left and one for the right eye",
    ),
    Layout(
        "messidor2",
        "table of pairs with other names than the images",
        in_folder("messidor2", lambda m: m | {"messidor-2.csv": b"left;right\na.png;b.png\n"}),
        "It names 2 others: a.png, b.png",
    ),
]
