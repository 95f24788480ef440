"""Tables: label lists of own data, official tables, given splits and descriptions of own data."""

from __future__ import annotations

from pathlib import Path

from harness.data import own, own_listing, registry, split_file
from harness.data.archive import open_source
from harness.data.own_listing import Columns
from tests import archives
from tests.survival.fuzz import Run, check_line, refused
from tests.survival.mutate import Random, damaged, pick

CELLS = (
    *("a.png", "b.png", "x", "y", "1", "2.0", "9" * 400, "9" * 5000, "-1", "1e999", "nan", ""),
    *("train", "test", "val", '"', '""', '"a', "'", "a\nb", '"a\nb"', "\x1b[31m", "\u202e", "٣"),
    *("../a.png", "/a.png", "C:\\a.png", "a" * 200_000, "\ufeff", "=1+1", "é", "\u2028", "²", "\0"),
)
"""Values that readers of tables tend to take badly."""

HEADERS = ("image,label,group,split,mask", "name,part", "image;label;group;split;mask", "a", "")

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp037")

TOML = """format = 1
title = "mine"
classes = ["a", "b"]
counts = [2, 2]
channels = 3
source = "/nowhere"
split = "clean"

[intensity]
low = 0.0
high = 255.0
"""

VALUES = (
    *("9" * 400, "9" * 5000, "1e999", "nan", "-1", '"\\u001b[2J"', "[]", "[[]]", "{}", "true"),
    *('["a", "b"]', '["a", "a"]', "[1, 2]", "1979-05-27", "0x7fffffffffffffffff", "[" * 500),
)


def text(random: Random) -> str:
    """Return a table of odd values."""
    match int(random.integers(12)):
        case 0:
            return ",".join(f"c{i}" for i in range(10**5)) + "\n" + ",\n" * 3
        case 1:
            return "image,label\n" + "a.png,x\n" * 3 + "," * 10**5
    delimiter = str(pick(random, (",", ";", "\t", "|", " ")))
    lines = [str(pick(random, HEADERS))]
    for _ in range(int(random.integers(0, 6))):
        cells = [str(pick(random, CELLS)) for _ in range(int(random.integers(1, 7)))]
        lines.append(delimiter.join(cells))
    return str(pick(random, ("\n", "\r\n", "\r", "\n\n"))).join(lines)


def table_fuzzer(folder: Path) -> Run:
    """Read tables as a user's label list, as a given split, as official ones, and descriptions."""
    images = folder / "images"
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        archives.write_folder(images, {name: archives.encoded(archives.picture(number))})
    good = [
        b"image,label,group,split,mask\na.png,x,1,train,c.png\nb.png,y,2,test,c.png\n",
        b"name,part\na,train\nb,test\nc,unused\n",
        archives.skin()[1]["HAM10000_metadata.csv"],
        archives.fundus()[1]["messidor_data.csv"],
    ]
    official = {}
    for name in ("ham10000", "messidor2"):
        dataset, members = archives.OFFICIAL[name]()
        official[name] = dataset
        archives.write_folder(folder / name, members)
    paths = {
        "own": images / "t.csv",
        "ham10000": folder / "ham10000/HAM10000_metadata.csv",
        "messidor2": folder / "messidor2/messidor_data.csv",
    }

    def run(random: Random) -> None:
        whole = pick(random, good)
        encoding = str(pick(random, ENCODINGS))
        if random.random() < 0.5:
            content = damaged(random, whole)
        elif random.random() < 0.5:
            content = whole.decode().encode(encoding)
        else:
            content = text(random).encode(encoding, "replace")
        if random.random() < 0.3:
            _description(folder / "root", random)
        paths["own"].write_bytes(content)
        columns = Columns(image="image", label="label")
        if random.random() < 0.5:
            columns = Columns(
                image="image", label="label", group="group", split="split", mask="mask"
            )
        with refused(), open_source(images) as source:
            found = own_listing.find(source, paths["own"], columns)
            found.items(found.classes())
        with refused():
            parts = split_file.read(paths["own"])
            split_file.match(paths["own"], parts, ["a", "b", "c"])
        name = str(pick(random, sorted(official)))
        paths[name].write_bytes(content)
        with refused(), open_source(folder / name) as source:
            official[name].listing(source)

    return run


def _description(root: Path, random: Random) -> None:
    """Read a damaged description of a user's data set as ``data list`` reads it."""
    root.mkdir(exist_ok=True)
    lines = TOML.splitlines()
    for _ in range(int(random.integers(1, 3))):
        at = int(random.integers(len(lines)))
        key = lines[at].partition(" =")[0]
        lines[at] = f"{key} = {pick(random, VALUES)}"
    content = "\n".join(lines).encode()
    if random.random() < 0.5:
        content = damaged(random, content)
    own.path_of(root, "mine").write_bytes(content)
    for problem in registry.problems(root):
        check_line(problem)
    for dataset in registry.datasets(root).values():
        assert sum(dataset.sizes.values()) in (0, sum(dataset.counts)) or dataset.name != "mine"


FUZZERS = {"tables": table_fuzzer}
