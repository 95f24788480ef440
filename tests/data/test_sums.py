"""Archives' checksums are stated and compared with known ones."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from harness.data import sums
from harness.data.archive import open_source
from harness.data.prepare import prepare
from harness.data.prepared import read_manifest
from tests import archives
from tests.archives import write_folder, write_parts, write_tar, write_zip, zipped
from tests.conftest import Harness

NAME = "HAM10000_images_part_1.zip"


def test_a_sha256_is_stated_for_every_archive(tmp_path: Path) -> None:
    content = zipped({"a.png": b"x"})
    write_folder(tmp_path, {"one.zip": content, "a.png": b"y"})
    write_parts(tmp_path / "two.zip", zipped({"b.png": b"x" * 99}), 3)
    write_tar(tmp_path / "three.tgz", {"c.png": b"z"})
    with open_source(tmp_path) as source:
        sentences, remarks = sums.describe(source.archives)
        assert sorted(source.names()) == [
            "a.png",
            "one.zip/a.png",
            "three.tgz/c.png",
            "two.zip/b.png",
        ]
        assert [source.read(n) for n in source.names()] == [b"y", b"x", b"z", b"x" * 99]
    expected = {
        "one.zip": content,
        "two.zip": zipped({"b.png": b"x" * 99}),
        "three.tgz": (tmp_path / "three.tgz").read_bytes(),
    }
    assert remarks == []
    assert sentences == {
        name: f"SHA-256 {hashlib.sha256(whole).hexdigest()}" for name, whole in expected.items()
    }


def test_known_sums_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.md5(b"abc", usedforsecurity=False).hexdigest()
    known = sums.Known("md5", digest, "Somebody", publisher=True)
    monkeypatch.setattr(sums, "KNOWN", {NAME: known})
    sentences, remarks = sums.describe({f"folder/{NAME}": io.BytesIO(b"abc")})
    assert sentences[f"folder/{NAME}"].endswith(", the file of which Somebody states the MD5")
    assert remarks == []
    sentences, remarks = sums.describe({NAME: io.BytesIO(b"abd")})
    assert f"not the file of which Somebody states the MD5 {digest}" in sentences[NAME]
    (remark,) = remarks
    assert remark.startswith(f"{NAME} is not the file that Somebody publishes: its MD5 is ")
    monkeypatch.setattr(sums, "KNOWN", {NAME: known._replace(publisher=False)})
    assert sums.describe({NAME: io.BytesIO(b"abd")})[1] == []


def test_known_sums_have_the_form_of_their_algorithm() -> None:
    for known in sums.KNOWN.values():
        length = 2 * hashlib.new(known.algorithm).digest_size
        assert len(known.digest) == length == len(known.digest.strip("g-z"))
        int(known.digest, 16)


def test_the_store_keeps_the_sums_and_the_command_prints_them(
    tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, members = archives.skin()
    path = write_zip(tmp_path / "photographs.zip", members)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    prepare(dataset, path, root=tmp_path / "data", size=16)
    manifest = read_manifest(tmp_path / "data", "ham10000")
    assert manifest is not None
    assert manifest.archives == {"photographs.zip": f"SHA-256 {digest}"}
    monkeypatch.setattr("harness.data.registry.expand", lambda name, root: (dataset,))
    masks = write_zip(tmp_path / "m.zip", _masks(members))
    code, out, err = harness(
        *("data", "prepare", "ham10000", "--root", str(tmp_path / "data"), "--size", "16"),
        *("--from", str(path), "--masks", str(masks)),
    )
    assert (code, err.count("\n")) == (0, 1), err
    assert f"photographs.zip: SHA-256 {digest}" in out
    assert f"m.zip: SHA-256 {hashlib.sha256(masks.read_bytes()).hexdigest()}" in out
    manifest = read_manifest(tmp_path / "data", "ham10000")
    assert manifest is not None
    assert "masks.npy" in manifest.files


def _masks(members: dict[str, bytes]) -> dict[str, bytes]:
    from PIL import Image

    mask = archives.encoded(Image.new("1", (40, 30), 1))
    return {f"{Path(name).stem}.png": mask for name in members if name.endswith(".jpg")}


def test_archives_that_cannot_be_read_exit_with_2_and_one_line(
    tmp_path: Path, harness: Harness
) -> None:
    write_folder(tmp_path, {"a.zip": b"<html>login</html>"})
    code, out, err = harness(
        *("data", "prepare", "btmd", "--root", str(tmp_path / "data")),
        *("--from", str(tmp_path / "a.zip")),
    )
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is a web page, such as a login or error page that was saved" in err
    assert not (tmp_path / "data").exists()
