"""What happens when things go wrong, with torch's elastic multiprocessing and with aelastic?

    python -m benchmarks.faults [--only 01,03] [--json FILE] [--markdown FILE]

Every scenario runs for real, once for each contender, in a fresh interpreter with a hard time limit. Its processes are
marked in their environment: what is left a second after its end is counted, and then killed. Needs Linux; without torch
(``pip install torch==2.13.0``) the table says so. It takes a few minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.faults.arena import perform
from benchmarks.faults.scenarios import SCENARIOS

if TYPE_CHECKING:
    from benchmarks.faults.stage import Scenario, Seen

CONTENDERS = ("torch", "aelastic")


def main() -> None:
    """Perform, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAMES", help="beginnings of the scenarios' names, by commas")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="torch, aelastic, or both")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything that was seen")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table")
    options = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        if scenario.name.startswith(tuple(options.only.split(","))):
            rows.append(row(scenario, options.contenders.split(",")))
            print_row(rows[-1])
    if options.json:
        options.json.write_text(json.dumps({**circumstances(), "scenarios": rows}, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(rows))


def row(scenario: Scenario, contenders: list[str]) -> dict[str, Any]:
    """What each contender did."""
    found: dict[str, Any] = {"name": scenario.name, "title": scenario.title}
    for contender in contenders:
        found[contender] = told(scenario, contender)
    return found


def told(scenario: Scenario, contender: str) -> dict[str, Any]:
    """In words, and all that was seen."""
    if contender == "torch" and isinstance(scenario.torch, str):
        return {"told": f"- ({scenario.torch})"}
    if contender == "torch" and version("torch") is None:
        return {"told": "torch is not installed"}
    seen = perform(scenario, contender)
    return {"told": words(scenario, seen), **asdict(seen)}


def words(scenario: Scenario, seen: Seen) -> str:
    """What ``tell`` makes of it; where that cannot, something else went wrong."""
    try:
        text = scenario.tell(seen)
    except KeyError:
        text = f"{seen.facts.get('raised') or seen.output.strip()[-200:] or 'nothing was noted'}; {seen.left}"
    return f"{text} (hangs: ended after {seen.seconds:.0f} s)" if seen.hung else text


def version(package: str) -> str | None:
    """Of what is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def circumstances() -> dict[str, str | None]:
    """What the table depends on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": version("torch"),
        "aelastic": version("aelastic"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
    }


def print_row(found: dict[str, Any]) -> None:
    """For people that wait."""
    print(f"{found['name']}: {found['title']}")
    for contender in CONTENDERS:
        if contender in found:
            print(f"    {contender:9} {found[contender]['told']}")
    sys.stdout.flush()


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table."""
    about = circumstances()
    lines = [
        ", ".join(f"{what} {value}" for what, value in about.items()),
        "",
        "| | scenario | torch | aelastic |",
        "|---|---|---|---|",
    ]
    for one in rows:
        cells = [one["name"], one["title"], *[one.get(contender, {}).get("told", "") for contender in CONTENDERS]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
