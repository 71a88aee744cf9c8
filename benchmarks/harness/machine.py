"""The facts that figures depend on."""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import aelastic

_PACKAGES = ("aelastic", "torch", "uvloop", "uvicorn", "honcho", "simpervisor", "supervice", "anyio", "aiofiles")


def facts() -> dict[str, Any]:
    """As of now."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": [round(one, 2) for one in os.getloadavg()],
        "containment": _containment(),
        "versions": {package: _version(package) for package in _PACKAGES},
    }


def sentence(found: dict[str, Any], load_after: list[float]) -> str:
    """In one line, for the head of a table."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)
    return (
        f"{found['date'][:10]}; {found['cpu']}, {found['cores']} cores; {found['kernel']}; {found['python']}; "
        f"{versions}; containment by {found['containment']}; "
        f"load average {found['load'][0]:.1f} before, {load_after[0]:.1f} after"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _containment() -> str | None:
    """The strongest that works here, which is aelastic's default: control groups cost more than marks."""

    async def ask() -> str | None:
        async with aelastic.start_processes("b", "/bin/true", {0: ()}, {0: {}}) as ctx:
            return ctx.containment

    return asyncio.run(ask())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
