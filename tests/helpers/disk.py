"""A disk of its own for an application, so small that it is soon full."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1" "$4"'


def on_small_disk(tmp_path: Path, application: str, argument: object) -> subprocess.CompletedProcess[str]:
    """Run ``application`` (Python code) with the path of a disk of 64 KiB and ``argument``; skip where none can be."""
    disk = tmp_path / "disk"
    disk.mkdir()
    _need_private_mounts(disk)
    shell = ["unshare", "--mount", "sh", "-c", _MOUNT, "sh"]
    command = [*shell, str(disk), sys.executable, application, str(argument)]
    return subprocess.run(command, capture_output=True, check=True, text=True)


def _need_private_mounts(disk: Path) -> None:
    probe = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {disk}"]
    try:
        works = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        pytest.skip("needs the right to mount a tmpfs in a mount namespace of its own")
