"""Archives are refused as a whole when a member could do harm."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import joined, safety
from harness.data.archive import Archive, Given, open_source
from harness.data.safety import Scratch
from harness.errors import UserError
from harness.spec.dataset import SUFFIXES
from tests.archives import write_folder, write_parts, write_tar, write_zip, zipped


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.png", "leads out of the archive"),
        ("a/../../evil.png", "leads out of the archive"),
        ("a\\..\\..\\evil.png", "leads out of the archive"),
        ("/etc/evil.png", "absolute"),
        ("C:/evil.png", "absolute"),
    ],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str, why: str) -> None:
    path = write_zip(tmp_path / "a.zip", {"good.png": b"x", name: b"x"})
    with pytest.raises(UserError, match=f"not safe to read.*{why}"):
        open_source(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="a link"):
        open_source(tmp_path / "a.zip")
    folder = write_folder(tmp_path / "folder", {"a.png": b"x"})
    (folder / "out.png").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="leads out of"):
        open_source(folder)
    (folder / "out.png").unlink()
    (folder / "in.png").symlink_to("a.png")
    assert open_source(folder).names() == ["a.png", "in.png"]


def test_bombs_are_refused_before_they_are_inflated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(4 * 2**20))
    with pytest.raises(UserError, match="decompression bomb"):
        open_source(tmp_path / "a.zip")


def test_a_size_that_lies_does_not_help_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.safety.MEMBER_LIMIT", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(900))
    with open_source(tmp_path / "a.zip") as source:
        monkeypatch.setattr("harness.data.safety.MEMBER_LIMIT", 500)
        with pytest.raises(ValueError, match="larger than"):
            source.read("a.png")


def test_corrupt_members_and_files_that_are_no_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": b"0123456789" * 50})
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF
    path.write_bytes(content)
    with open_source(path) as source, pytest.raises(ValueError, match="CRC"):
        source.read("a.png")
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"a.zip is a text; give the folder or archive"):
        open_source(path)
    with pytest.raises(UserError, match="nothing at"):
        open_source(tmp_path / "missing.zip")


def test_truncated_archives_are_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": b"0123456789" * 50})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"a.zip is cut short or damaged.*download it again"):
        open_source(path)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": b"x"})
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="encrypted"):
        open_source(path)


@given(
    st.lists(
        st.tuples(
            st.text("abc", min_size=1, max_size=4),
            st.sampled_from([*SUFFIXES, ".JPG", ".Tiff", ".csv", ".txt", ""]),
        ),
        max_size=6,
        unique=True,
    )
)
def test_images_are_known_by_their_ending_in_any_case(names: list[tuple[str, str]]) -> None:
    listed = sorted(stem + ending for stem, ending in names)

    class Named(Archive):
        def names(self) -> list[str]:
            return listed

    source = Named(Path(), Scratch(None))
    expected = [n for n in listed if n.lower().endswith(SUFFIXES)]
    assert source.images() == expected


def _tar_with(path: Path, **fields: object) -> Path:
    member = tarfile.TarInfo("a.png")
    for name, value in fields.items():
        setattr(member, name, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": "../evil.png"}, "leads out of the archive"),
        ({"name": "a/../../evil.png"}, "leads out of the archive"),
        ({"name": "..\\evil.png"}, "leads out of the archive"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link"),
        ({"type": tarfile.LNKTYPE, "linkname": "b.png"}, "a link"),
        ({"type": tarfile.CHRTYPE}, "a device"),
        ({"type": tarfile.FIFOTYPE}, "a device, a pipe"),
    ],
)
def test_tar_archives_with_unsafe_members_are_refused(
    tmp_path: Path, fields: dict[str, object], why: str
) -> None:
    path = _tar_with(tmp_path / "a.tar", **fields)
    with pytest.raises(UserError, match=f"not safe to read.*{why}"):
        open_source(path)


def test_absolute_names_of_tar_archives_are_refused(tmp_path: Path) -> None:
    path = _tar_with(tmp_path / "a.tar", name="x" * 8)
    content = path.read_bytes().replace(b"x" * 8, b"/etc/abc")
    # The header's checksum is the sum of its bytes.
    changed = sum(b"/etc/abc") - sum(b"x" * 8)
    old = int(content[148:154], 8)
    path.write_bytes(content[:148] + f"{old + changed:06o}".encode() + content[154:])
    with pytest.raises(UserError, match="'etc/abc' .absolute"):
        open_source(path)


def test_members_beyond_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "MEMBER_LIMIT", 2**20)
    with pytest.raises(UserError, match="inflates to 2 MiB, more than 1"):
        open_source(_tar_with(tmp_path / "a.tar", size=2 * 2**20))
    folder = write_folder(tmp_path / "folder", {"a.png": bytes(2**20 + 1)})
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        open_source(folder).read("a.png")


def test_compressed_tar_archives_that_are_bombs_are_refused_while_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "a.tgz", {"a.png": bytes(30 * 2**20)})
    written: list[int] = []
    temporary = tempfile.TemporaryFile

    def spy(**options: object) -> object:
        opened = temporary(**options)  # type: ignore[call-overload]
        written.append(opened.fileno())
        return opened

    monkeypatch.setattr(tempfile, "TemporaryFile", spy)
    with pytest.raises(UserError, match="a.tgz is a decompression bomb"):
        open_source(path)
    assert len(written) == 1


def test_what_is_unpacked_is_bounded_over_all_archives_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    inner = {f"{i}.zip": zipped({"a.png": random.bytes(2000)}) for i in range(3)}
    path = write_zip(tmp_path / "a.zip", inner)
    assert len(open_source(path).names()) == 3
    monkeypatch.setattr(safety, "UNPACKED_LIMIT", 5000)
    with pytest.raises(UserError, match=r"2.zip unpacks to more than"):
        open_source(path)


def test_archives_inside_each_other_are_bounded(tmp_path: Path) -> None:
    content = b"x"
    for name in ("a.png", "1.zip", "2.zip", "3.zip", "4.zip"):
        content = zipped({name: content})
        path = write_folder(tmp_path, {"outer.zip": content}) / "outer.zip"
        if name in ("a.png", "1.zip", "2.zip"):
            depth = ["a.png", "1.zip", "2.zip"].index(name)
            (only,) = open_source(path).names()
            assert only.count("/") == depth
    with pytest.raises(UserError, match=r"lies inside 3 other archives; unpack the outer ones"):
        open_source(path)


def test_a_bomb_inside_another_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "inner.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(4 * 2**20))
    inner = (tmp_path / "inner.zip").read_bytes()
    for outer in (
        write_zip(tmp_path / "a.zip", {"inner.zip": inner, "b.png": b"x"}),
        write_folder(tmp_path / "folder", {"inner.zip": inner, "b.png": b"x"}),
    ):
        with pytest.raises(UserError, match=r"inner.zip has 1 members .*decompression bomb"):
            open_source(outer)


def test_what_is_unpacked_lies_in_the_scratch_folder_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a process that is killed leaves nothing."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folders: list[object] = []
    temporary = tempfile.TemporaryFile

    def spy(**options: object) -> object:
        folders.append(options["dir"])
        return temporary(**options)  # type: ignore[call-overload]

    monkeypatch.setattr(tempfile, "TemporaryFile", spy)
    path = write_zip(tmp_path / "a.zip", {"b.zip": zipped({"a.png": b"inside"})})
    with open_source(path, scratch=scratch) as source:
        assert list(scratch.iterdir()) == []
        assert source.read("b.zip/a.png") == b"inside"
    assert folders == [scratch]


def test_a_full_disk_while_unpacking_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "a.tgz", {"a.png": b"x"})

    class Full(io.BytesIO):
        def write(self, block: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(UserError, match=r"Cannot unpack .*a.tgz under .*: No space left on device"):
        open_source(path)


def test_tar_and_zip_hold_the_same(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    members = {f"{'d' * (i % 3)}/{i}.bin": random.bytes(300 * i) for i in range(9)}
    members["long/" + "n" * 200 + ".png"] = b"name of more than 100 bytes"
    names = sorted(name.lstrip("/") for name in members)
    for path in (
        write_tar(tmp_path / "a.tar", {n.lstrip("/"): c for n, c in members.items()}),
        write_tar(tmp_path / "a.tar.gz", {n.lstrip("/"): c for n, c in members.items()}),
        write_zip(tmp_path / "a.zip", {n.lstrip("/"): c for n, c in members.items()}),
        write_folder(tmp_path / "folder", {n.lstrip("/"): c for n, c in members.items()}),
    ):
        with open_source(path) as source:
            assert source.names() == names
            for name, content in members.items():
                assert source.read(name.lstrip("/")) == content
                assert source.head(name.lstrip("/"), 5) == content[:5]


@pytest.mark.parametrize("left", [1000, 3500, 3072, 4608])
def test_tar_archives_that_end_early_are_found_wherever_they_end(tmp_path: Path, left: int) -> None:
    """Three members of 600 bytes begin at 0, 1536 and 3072, and zeros follow from 4608."""
    path = write_tar(tmp_path / "a.tar", {f"{i}.png": b"x" * 600 for i in range(3)})
    assert len(open_source(path).names()) == 3
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match="a.tar is damaged or cut short"):
        open_source(path)


def test_names_that_cannot_be_shown_are_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9\n.png")).write_bytes(b"x")
    with open_source(folder) as source:
        (name,) = source.names()
        assert name.isprintable()
        name.encode()
        assert source.read(name) == b"x"


def test_two_files_of_one_name_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for second, accepted in ((b"first", True), (b"other", False)):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", b"first")
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr("a.png", second)
        if accepted:
            assert open_source(path).names() == ["a.png"]
        else:
            with pytest.raises(UserError, match="two different files named a.png"):
                open_source(path)


def test_parts_are_read_as_one(tmp_path: Path) -> None:
    members = {f"{i}.png": np.random.default_rng(i).bytes(999) for i in range(20)}
    parts = write_parts(tmp_path / "IMAGES.zip", zipped(members), 7)
    for path in (tmp_path, parts[0], parts[3]):
        with open_source(path) as source:
            prefix = "IMAGES.zip/" if path.is_dir() else ""
            assert source.names() == sorted(prefix + name for name in members)
            assert all(source.read(prefix + n) == c for n, c in members.items())
    parts[2].unlink()
    parts[4].unlink()
    with pytest.raises(UserError, match=r"2 of its parts are missing: .*zip.003, .*zip.005; put"):
        open_source(parts[0])


def test_parts_beside_the_joined_file_are_not_read_again(tmp_path: Path) -> None:
    content = zipped({"a.png": bytes(999)})
    write_folder(tmp_path, {"a.zip": content})
    write_parts(tmp_path / "a.zip", content, 3)
    with open_source(tmp_path) as source:
        assert source.names() == ["a.zip/a.png"]
        assert list(source.archives) == ["a.zip"]


def test_paths_that_end_alike_stay_apart(tmp_path: Path) -> None:
    paths = tuple(
        write_folder(tmp_path / side / "images", {"a.png": side.encode()})
        for side in ("left", "right")
    )
    with open_source(Given(paths)) as source:
        assert [source.read(name) for name in source.names()] == [b"left", b"right"]


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may read everything")
def test_files_that_may_not_be_read_are_one_line(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": b"x"})
    path.chmod(0)
    with pytest.raises(UserError, match=r"a.zip cannot be read \(Permission denied\); allow it"):
        open_source(path)


def test_a_part_that_ended_early_is_named(tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "a.zip", zipped({"a.png": bytes(999)}), 3)
    parts[1].write_bytes(parts[1].read_bytes()[:100])
    with pytest.raises(UserError, match=r"shorter than the others .*: a.zip.002 \(100 bytes\);"):
        open_source(parts[0])


def test_parts_of_a_7z_archive_are_explained(tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(90), 2)
    with pytest.raises(UserError, match=r"a.7z.001 does not start .*\(7z x a.7z.001\)"):
        open_source(parts[0])


@given(st.binary(max_size=60), st.integers(1, 7), st.lists(st.integers(0, 70), max_size=8))
def test_joined_parts_read_like_the_whole(content: bytes, size: int, positions: list[int]) -> None:
    parts = [content[i : i + size] for i in range(0, len(content), size)] or [b""]
    whole = joined._Joined([io.BytesIO(part) for part in parts])
    expected = io.BytesIO(content)
    for position in positions:
        assert whole.seek(position) == expected.seek(position)
        block = bytearray(5)
        count = whole.readinto(block)
        assert bytes(block[:count]) == expected.read(count)
        assert count > 0 or position >= len(content)
        assert whole.tell() == position + count


def test_folders_that_cannot_be_used_are_explained(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is no regular file"):
        open_source(tmp_path / "pipe")
    folder = write_folder(tmp_path / "folder", {"a.png": b"x"})
    (folder / "b.png").symlink_to(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"copy of the folder without links \(cp -rL\)"):
        open_source(folder)
    (folder / "b.png").unlink()
    (folder / "Training").symlink_to(write_folder(tmp_path / "disk", {"c.png": b"x"}))
    with pytest.raises(UserError, match="Training is a link that leads out of"):
        open_source(folder)


def test_archives_that_cannot_be_read_are_named_with_what_is_missing(tmp_path: Path) -> None:
    """An archive beside the images may not be needed, so it is named only with an error."""
    folder = write_folder(tmp_path, {"a.png": b"x", "b.rar": b"Rar!\x1a\x07\x01\0", "c.zip": b""})
    with open_source(folder) as source:
        assert source.names() == ["a.png"]
        named = pytest.raises(UserError, match="7 images.* Not read: .*b.rar is a .*c.zip is an")
        with named, source.explained():
            raise UserError("7 images are missing.")


def test_equal_files_are_known_by_checksum_or_contents(tmp_path: Path) -> None:
    members = {"a.png": b"abc", "b.png": b"abc", "c.png": b"abd", "d.png": b"abcd"}
    for path in (
        write_zip(tmp_path / "a.zip", members),
        write_tar(tmp_path / "a.tar", members),
        write_folder(tmp_path / "folder", members),
    ):
        with open_source(path) as source:
            assert source.same("a.png", "b.png")
            assert not source.same("a.png", "c.png")
            assert not source.same("a.png", "d.png")


@pytest.mark.parametrize(
    "content",
    [
        b"name,grade\na,1\nb,2\n",
        b"name;grade\r\na;1\r\nb;2\r\n",
        b'\xef\xbb\xbf"name"\t"grade"\na\t1\n\nb\t2',
        "name;grade\na;1\nb;2\n".encode("utf-16"),
        b"name , grade\n a, 1 \nb,2\n",
        b"name,grade\na,1\n,\nb,2\n",
    ],
)
def test_tables_are_read_whatever_divides_columns(tmp_path: Path, content: bytes) -> None:
    source = open_source(write_folder(tmp_path, {"t.csv": content}))
    assert source.table("t.csv") == [
        {"name": "a", "grade": "1"},
        {"name": "b", "grade": "2"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv is an empty file, not a table; download it again"),
        (b"name,grade\n", "not a table with rows"),
        (b"name,name\na,1\n", "names a column twice: name, name"),
        (b"name,grade\na,1,2\n", "2 columns .*a row has 3 values: a, 1, 2"),
        (b"<html>login</html>", "t.csv is a web page"),
        (b"PK\3\4" + bytes(100), "t.csv is a zip archive, not a table; save it as CSV"),
        (b'name,grade\n"a,1\n', "not a table that can be read"),
    ],
)
def test_tables_that_are_none_are_explained(tmp_path: Path, content: bytes, message: str) -> None:
    source = open_source(write_folder(tmp_path, {"t.csv": content}))
    with pytest.raises(UserError, match=message):
        source.table("t.csv")
