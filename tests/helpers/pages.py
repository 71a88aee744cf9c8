"""What the documentation shows, in pieces that can be run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"

# Commands that are not run here, and why.
NOT_HERE = {
    "pip install aelastic": "what it brings is what is tested",
    "aelastic run --nproc-per-node 4 --tee 3 examples/wordcount.py": ".ci/run runs the line as it stands",
    "pytest": ".ci/run runs the line as it stands",
}

# No examples: the table of contents, the reference (made of docstrings), a table of measurements.
NO_EXAMPLES = ("{toctree}", "{eval-rst}", "{include} ../benchmarks/results/table.md")

_SERVERS = ("uvicorn", "hypercorn")  # go on until somebody stops them
_FILE = re.compile(r"# (\w+\.py)\n")  # the first line of what is to be saved under that name
_INSTALLING = re.compile(r"python3 -m venv \S+ && \S+/pip install [^&]+ && ")  # what is installed here already
_ADDRESS = re.compile(r"http://127\.0\.0\.1:8000[\w/.-]*")
_TORCH = re.compile(r"^\s*(?:import|from) torch\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced or indented block of a page, and the text up to the blocks around it."""

    page: str
    line: int
    language: str
    text: str
    before: str
    after: str

    @property
    def file(self) -> str:
        """The name that a Python block is to be saved under; empty for a program that is just run."""
        found = _FILE.match(self.text) if self.language == "python" else None
        return found[1] if found else ""

    @property
    def included(self) -> str:
        """The file that is shown in its place."""
        return Path(self.language.removeprefix("{literalinclude} ")).name if "literalinclude" in self.language else ""

    @property
    def commands(self) -> list[str]:
        """What a console block has the reader type, without the installation."""
        lines = self.text.splitlines() if self.language == "console" else []
        return [_INSTALLING.sub("", line).replace(".venv/bin/", "") for line in lines if line]

    @property
    def serves(self) -> bool:
        """Whether it starts a server."""
        return any(command.startswith(_SERVERS) for command in self.commands)

    @property
    def asks(self) -> bool:
        """Whether it asks a server that was started before."""
        return any(command.startswith("curl ") for command in self.commands)

    @property
    def begins(self) -> bool:
        """Whether something is to be run here."""
        return self.language == "console" or (self.language == "python" and not self.file)


@dataclass(frozen=True, slots=True)
class Example:
    """Blocks that belong together: a program or commands, what is asked of them, and what is shown."""

    blocks: list[Block]
    files: dict[str, str] = field(default_factory=dict)  # what the page has the reader save

    @property
    def commands(self) -> list[str]:
        return [command for block in self.blocks for command in block.commands]

    @property
    def addresses(self) -> list[str]:
        """Where the reader is told to look, in the text around a server's start."""
        first, last = self.blocks[0], self.blocks[-1]
        return _ADDRESS.findall(first.before + last.after) if first.serves else []

    @property
    def fails(self) -> bool:
        """Whether a test is shown that fails."""
        return any(re.search(r"\b\d+ failed in ", block.text) for block in self.blocks if block.language == "text")

    @property
    def needs_torch(self) -> bool:
        examples = {path.name: path.read_text() for path in (ROOT / "examples").glob("*.py")}
        used = [text for name, text in {**examples, **self.files}.items() if self.uses(name)]
        return any(_TORCH.search(text) for text in [self.blocks[0].text, *used])

    def uses(self, file: str) -> bool:
        """Whether its commands are about that file, or about one that speaks of it, and so on."""
        used, names = set[str](), {*self.files, file}
        found = {name for name in names if self._names(name)}
        while found:
            used |= found
            texts = [self.files.get(name, "") for name in found]
            found = {name for name in names - used if any(_speaks(text, name) for text in texts)}
        return file in used

    def _names(self, file: str) -> bool:
        """``train.py`` as it is, ``service.py`` as ``service:app``, ``test_redis.py`` as ``examples/pytest``."""
        words = re.findall(r"[\w.]+", " ".join(self.commands))
        folders = [path.parent.name for path in (ROOT / "examples").rglob(file)]
        return any(word in words for word in (file, file.removesuffix(".py"), *set(folders) - {"examples"}))

    def __str__(self) -> str:
        first = self.blocks[0]
        return f"{Path(first.page).stem}:{first.line}" + ("-torch" if self.needs_torch else "")


def _speaks(text: str, file: str) -> bool:
    return file in text or f'"{file.removesuffix(".py")}:' in text


def blocks_of(page: str, text: str) -> list[Block]:
    """All of them, from the top."""
    lines = text.splitlines()
    tokens = [one for one in MarkdownIt("commonmark").parse(text) if one.type in ("fence", "code_block")]
    spans = [(token.map[0], token.map[1]) for token in tokens if token.map]
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(lines)]
    gaps = ["\n".join(lines[end:start]) for end, start in zip(ends, starts, strict=True)]
    return [
        Block(page, spans[at][0] + 1, token.info.strip(), token.content, gaps[at], gaps[at + 1])
        for at, token in enumerate(tokens)
    ]


def examples_of(page: str, text: str) -> list[Example]:
    """What is to be run, in the order of the page."""
    blocks = blocks_of(page, text)
    files = {block.file: block.text for block in blocks if block.file}
    return [Example(group, files) for group in _groups(blocks)]


def _groups(blocks: list[Block]) -> Iterator[list[Block]]:
    """A program or commands with what they show, and with what is asked of them."""
    group: list[Block] = []
    for block in blocks:
        shown = block.language == "text" and not block.before.strip()
        if group and (shown or (group[0].serves and block.asks)):
            group.append(block)
        else:
            if group:
                yield group
            group = [block] if block.begins else []
    if group:
        yield group


def is_elsewhere(block: Block) -> bool:
    """Whether it is run by somebody else: a command in ``NOT_HERE``, a cell of the notebook by ``test_notebook.py``."""
    if block.commands:
        return all(command in NOT_HERE for command in block.commands)
    return block.page == "docs/notebooks.md" and block.text.rstrip() in cells()


def cells() -> list[str]:
    """The code in the example of a notebook."""
    found = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def examples(*pages: Path) -> list[Example]:
    """What is to be run here."""
    found = [one for page in pages for one in examples_of(str(page.relative_to(ROOT)), page.read_text())]
    return [one for one in found if not is_elsewhere(one.blocks[0])]


def untested(page: str, text: str) -> Iterator[str]:
    """Complaints about blocks that no test runs."""
    here = examples_of(page, text)
    run = [block for example in here for block in example.blocks]
    for block in blocks_of(page, text):
        file = block.file or block.included
        if block in run or block.language in NO_EXAMPLES or any(one.uses(file) for one in here if file):
            continue
        yield f"{page}:{block.line}: no test runs this {block.language or 'indented'} block"
