"""File systems that hosts share, by tables of mounts as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import mounts

TABLE = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,relatime shared:5 - proc proc rw
40 22 0:40 / /home rw,relatime shared:9 master:1 - nfs4 server:/home rw,vers=4.2
41 40 0:41 / /home/ann/my\040scratch rw,relatime - lustre mds@tcp:/fs rw
42 22 0:42 / /data rw,relatime - fuse.sshfs ann@host: rw
43 22 0:43 / /sums rw,relatime - fuse.squashfuse image ro
44 22 0:44 / /over rw,relatime - nfs host:/over rw
45 44 0:45 / /over rw,relatime - tmpfs tmpfs rw
46 22 0:46 / /win rw,relatime - cifs //host/share rw
47 22 0:47 / /p rw,relatime - 9p share rw
48 22 0:48 / /gpfs/home rw,relatime - gpfs fs1 rw
49 22 0:49 / /bee rw,relatime - beegfs beegfs_nodev rw

garbage
50 22 0:50 / /half - nfs
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("path", "place", "kind", "shared"),
    [
        ("/srv/runs/mlflow.db", "/", "ext4", False),
        ("/home/ann/runs/mlflow.db", "/home", "nfs4", True),
        ("/homes/ann/mlflow.db", "/", "ext4", False),  # no folder of /home
        ("/home/ann/my scratch/runs", "/home/ann/my scratch", "lustre", True),
        ("/data", "/data", "fuse.sshfs", True),
        ("/sums/a", "/sums", "fuse.squashfuse", False),
        ("/over/a", "/over", "tmpfs", False),  # the last one hides the others
        ("/win/a", "/win", "cifs", True),
        ("/p/a", "/p", "9p", True),
        ("/gpfs/home/a", "/gpfs/home", "gpfs", True),
        ("/gpfs/a", "/", "ext4", False),
        ("/bee/a", "/bee", "beegfs", True),
    ],
)
def test_the_file_system_of_a_file(
    table: Path, path: str, place: str, kind: str, shared: bool
) -> None:
    found = mounts.mount_of(Path(path), table)
    assert found == mounts.Mount(place=Path(place), kind=kind)
    assert found.is_shared is shared


def test_links_are_followed(table: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("/home/ann")
    found = mounts.mount_of(tmp_path / "runs/mlflow.db", table)
    assert found is not None
    assert found.kind == "nfs4"


def test_a_system_without_a_table_knows_none(tmp_path: Path) -> None:
    assert mounts.mount_of(tmp_path, tmp_path / "none") is None


def test_this_machines_table_is_read(tmp_path: Path) -> None:
    if not mounts.TABLE.exists():
        pytest.skip("no table of mounts on this system")
    found = mounts.mount_of(tmp_path / "not yet/there")
    assert found is not None
    assert found.place in (tmp_path, *tmp_path.parents)
