"""File systems that other hosts can write to, found in Linux's table of mounts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")
"""Linux's table of this process's mounts; see proc(5). Other systems have none."""

NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "coda"),
        *("lustre", "gpfs", "beegfs", "beegfs_nodev", "panfs", "pvfs2", "orangefs", "wekafs"),
        *("gfs", "gfs2", "ocfs2", "glusterfs", "acfs", "quobyte"),
    }
)
"""Types of file systems of a network, or of a disk that several hosts share."""

NETWORK_FUSE = frozenset(
    {
        *("sshfs", "glusterfs", "ceph", "ceph-fuse", "beegfs", "lizardfs", "mfs", "moosefs"),
        *("cvmfs2", "juicefs", "s3fs", "goofys", "gcsfuse", "rclone", "quobyte", "seaweedfs"),
        *("JuiceFS", "davfs", "mount-s3", "blobfuse", "blobfuse2", "curlftpfs", "alluxio-fuse"),
    }
)
"""Types of file systems of a network that run outside of the kernel, without "fuse."."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A mounted file system.

    Attributes:
        place: the folder at which it is mounted.
        kind: its type, as in nfs4.
    """

    place: Path
    kind: str

    @property
    def is_shared(self) -> bool:
        """Whether other hosts can write to it, by its type."""
        head, _, tail = self.kind.partition(".")
        return self.kind in NETWORK or (head in ("fuse", "fuseblk") and tail in NETWORK_FUSE)


def mount_of(path: Path, table: Path | None = None) -> Mount | None:
    """Return the file system that a file is on, or would be made on.

    Args:
        path: of the file, which may not exist; links are followed.
        table: in place of ``TABLE``.

    Returns:
        None where there is no table of mounts.
    """
    try:
        text = (table or TABLE).read_text(errors="surrogateescape")
    except OSError:
        return None
    real = path.resolve()
    found: Mount | None = None
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields, kind = before.split(), after.split()[:1]
        if not dash or len(fields) < 5 or not kind:
            continue
        place = Path(_unescaped(fields[4]))
        inside = place == real or place in real.parents
        # The last of several at one place hides the others.
        if inside and (found is None or len(place.parts) >= len(found.place.parts)):
            found = Mount(place=place, kind=kind[0])
    return found


def _unescaped(text: str) -> str:
    r"""Return a field of the table with its escapes undone: spaces are written as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)
