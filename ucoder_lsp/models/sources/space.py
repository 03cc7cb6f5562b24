"""The space on the disk: checked before a download, and when the disk is full in the middle of it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a full disk, and of a user's full share of it."""


def check_room(folder: Path, n_bytes: int) -> None:
    """Raise before a download that cannot fit.

    Args:
        n_bytes: what will be written in addition to what is there.

    Raises:
        OSError: ENOSPC.
    """
    if n_bytes > shutil.disk_usage(folder).free:
        raise full_disk()


def full_disk() -> OSError:
    """Return the error of a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
