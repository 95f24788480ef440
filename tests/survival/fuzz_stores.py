"""Prepared stores: every file flipped, zeroed, cut, replaced, deleted; never other numbers."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import sealed
from harness.data import contents, verify
from harness.data.prepared import Store, open_store, read_manifest
from harness.errors import UserError
from harness.spec import profiles
from harness.spec.profile import Profile
from harness.train import images as loading
from harness.train.pixels import StoredPixels
from tests import archives
from tests.archives import write_zip
from tests.survival.fuzz import Run, Untold, check_line, refused
from tests.survival.mutate import Random, damaged, instead, pick

NAME = "busi"

CPU = torch.device("cpu")

JSON = (
    b"null",
    b"[]",
    b"{}",
    b'{"format": 3}',
    b"1e999",
    b"[" * 10**5,
    b"9" * 5000,
    b'{"format": NaN}',
)


def make(root: Path) -> None:
    """Prepare a small store with masks."""
    from harness.data.prepare import prepare

    dataset, members = archives.breast()
    prepare(dataset, write_zip(root.parent / "busi.zip", members), root=root, size=32)


def numbers(root: Path) -> dict[str, Any]:
    """Return all that training, evaluation and tables take from a store."""
    store = open_store(root, NAME)
    manifest = read_manifest(root, NAME)
    everything = store.everything()
    assert everything.masks is not None
    return {
        "manifest": repr(manifest),
        "names": everything.names,
        "groups": everything.groups,
        "labels": everything.labels.tolist(),
        "sizes": everything.sizes.tolist(),
        "splits": store.splits,
        "pixels": store.pixels,
        "images": everything.load().tobytes(),
        "small": everything.load(20).tobytes(),
        "masks": everything.load_masks().tobytes(),
        "sketches": store.sketches().tobytes(),
        "trained": _trained(store, profiles.SMOKE),
        "read at each step": _at_each_step(store),
    }


def _trained(store: Store, profile: Profile) -> bytes:
    loaded = loading.load(store.part("paper", "train"), profile, CPU, with_masks=True)
    assert isinstance(loaded.pixels, torch.Tensor)
    assert loaded.masks is not None
    return loaded.pixels.numpy().tobytes() + loaded.masks.numpy().tobytes()


def _at_each_step(store: Store) -> bytes:
    held = StoredPixels(store.part("paper", "train"), 32, CPU)
    return held[torch.tensor([3, 0, 3, 8])].numpy().tobytes()


def corrupt(random: Random, folder: Path) -> str:
    """Damage one file of a store and return what was done."""
    name = str(pick(random, contents.NAMES))
    path = folder / name
    content = path.read_bytes()
    match int(random.integers(10)):
        case 0 | 1:
            at = int(random.integers(8 * len(content)))
            data = bytearray(content)
            data[at // 8] ^= 1 << at % 8
            path.write_bytes(data)
            return f"{name}: bit {at} flipped"
        case 2:
            at = int(random.integers(len(content)))
            zeros = bytes(min(512, len(content) - at))
            path.write_bytes(content[:at] + zeros + content[at + len(zeros) :])
            return f"{name}: zeros at {at}"
        case 3:
            path.write_bytes(content[: int(random.integers(len(content)))])
            return f"{name}: cut"
        case 4:
            path.write_bytes(damaged(random, content))
            return f"{name}: mutated"
        case 5:
            path.unlink()
            return f"{name}: deleted"
        case 6:
            path.unlink()
            instead(random, path, pick(random, contents.NAMES))
            return f"{name}: replaced by another kind"
        case 7:
            path.write_bytes(_other(random, name, content))
            return f"{name}: other content"
        case 8 if name.endswith(".json"):
            path.write_bytes(_field(random, name, content))
            return f"{name}: another field"
        case _:
            other = str(pick(random, contents.NAMES))
            path.write_bytes((folder / other).read_bytes())
            return f"{name}: replaced by {other}"


def _other(random: Random, name: str, content: bytes) -> bytes:
    """Return a file of the same kind that holds something else."""
    if name.endswith(".json"):
        return pick(random, JSON)
    array = np.load(io.BytesIO(content))
    stream = io.BytesIO()
    others: tuple[Any, ...] = (
        array[1:],
        array.astype(np.float32),
        array[..., :-1],
        np.zeros_like(array),
        np.asfortranarray(array),
        np.array([{"a": 1}], dtype=object),
        np.zeros(0, np.uint8),
    )
    np.save(stream, others[int(random.integers(len(others)))], allow_pickle=True)
    return stream.getvalue()


def _field(random: Random, name: str, content: bytes) -> bytes:
    """Return JSON whose field was changed, with the digest of its new content where it has one."""
    fields = json.loads(content)
    keys = [key for key in fields if key != sealed.FIELD]
    key = str(pick(random, keys))
    values: tuple[Any, ...] = (
        None,
        0,
        -1,
        2**70,
        "x",
        [],
        {},
        [1],
        ["a"],
        {"a": 1},
        True,
        1e308,
        "\x1b[2J",
    )
    fields[key] = pick(random, values)
    if name != contents.MANIFEST:
        return json.dumps(fields).encode()
    del fields[sealed.FIELD]
    return sealed.seal(fields)


def store_fuzzer(folder: Path) -> Run:
    """Damage a copy of a store; whatever reads it refuses it or gives the numbers of before."""
    whole = folder / "whole"
    make(whole)
    expected = numbers(whole)

    def run(random: Random) -> None:
        root = folder / "data"
        shutil.copytree(whole, root)
        try:
            done = corrupt(random, root / NAME)
            told = _use(root, expected)
            found = verify.damage(root / NAME)
            for _, what in found:
                check_line(what)
            if told and not found:
                raise Untold(f"{done}: refused ({told}), but `damage` finds nothing")
        finally:
            shutil.rmtree(root)

    return run


def _use(root: Path, expected: dict[str, Any]) -> str:
    """Return what the first reader says that refuses the store, "" if all give what is expected."""
    said = ""
    with refused():
        try:
            manifest = read_manifest(root, NAME)
        except UserError as error:
            said = str(error)
            raise
        if repr(manifest) != expected["manifest"]:
            # A changed field under a new digest is a forgery, not damage; it has no other effect.
            said = "another manifest"
    with refused():
        try:
            found = numbers(root)
        except UserError as error:
            said = said or str(error)
            raise
        differing = [key for key in expected if found[key] != expected[key] and key != "manifest"]
        if differing:
            raise Untold(f"other numbers: {differing}")
    return "" if said == "another manifest" else said


FUZZERS = {"stores": store_fuzzer}
