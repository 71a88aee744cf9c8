"""Count the words of the Python standard library's own source files, shared among ranks.

Each rank counts its share of the files and leaves its counts in a file; rank 0 waits for them, merges and prints.

    aelastic run --nproc-per-node 4 --tee 3 examples/wordcount.py
"""

from __future__ import annotations

import json
import os
import re
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path

from aelastic.errors import record

WORD = re.compile(r"[A-Za-z_]+")


def source_files() -> list[Path]:
    """Every source file of the standard library, in one order on all ranks."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    return sorted(file for file in stdlib.rglob("*.py") if "site-packages" not in file.parts)


def count_words(files: list[Path]) -> Counter[str]:
    """The words of ``files``."""
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(WORD.findall(file.read_text(encoding="utf-8", errors="replace")))
    return counts


def gather(directory: Path, ranks: int) -> Counter[str]:
    """Wait for the counts of all ranks, and add them up."""
    total: Counter[str] = Counter()
    for rank in range(ranks):
        share = directory / f"{rank}.json"
        while not share.exists():
            time.sleep(0.01)
        total.update(json.loads(share.read_text()))
        share.unlink()
    directory.rmdir()
    return total


@record
def main() -> None:
    """Count this rank's share; rank 0 also merges."""
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    directory = Path(tempfile.gettempdir()) / f"wordcount-{os.environ.get('TORCHELASTIC_RUN_ID', os.getpid())}"
    directory.mkdir(exist_ok=True)
    files = source_files()[rank::ranks]
    counts = count_words(files)
    print(f"counted {counts.total()} words in {len(files)} files")
    unfinished = directory / f"{rank}.unfinished"
    unfinished.write_text(json.dumps(counts))
    unfinished.rename(directory / f"{rank}.json")
    if rank == 0:
        total = gather(directory, ranks)
        for word, count in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:10]:
            print(f"{count:8d} {word}")
        print(f"total {total.total()} words, {len(total)} different, by {ranks} ranks")


if __name__ == "__main__":
    sys.exit(main())
