"""Archives are refused as a whole when a member could do harm."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.archive import Folder, open_source
from harness.errors import UserError
from harness.spec.dataset import SUFFIXES
from tests.archives import write_folder, write_zip


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
        open_source(folder).names()
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
    monkeypatch.setattr("harness.data.archive.MEMBER_LIMIT", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(900))
    with open_source(tmp_path / "a.zip") as source:
        monkeypatch.setattr("harness.data.archive.MEMBER_LIMIT", 500)
        with pytest.raises(ValueError, match="inflates to more than"):
            source.read("a.png")


def test_corrupt_members_and_files_that_are_no_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": b"0123456789" * 50})
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF
    path.write_bytes(content)
    with open_source(path) as source, pytest.raises(ValueError, match="CRC"):
        source.read("a.png")
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"not a zip file.*download it again"):
        open_source(path)
    with pytest.raises(UserError, match="nothing at"):
        open_source(tmp_path / "missing.zip")


def test_truncated_archives_are_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": b"0123456789" * 50})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"a.zip is not a zip file"):
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
    source = Folder(Path())
    listed = sorted(stem + ending for stem, ending in names)
    source.names = lambda: listed  # type: ignore[method-assign]
    expected = [n for n in listed if n.lower().endswith(SUFFIXES)]
    assert source.images() == expected
