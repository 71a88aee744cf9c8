"""Notebooks: the example, which is on a page of the documentation, and what a kernel does to ranks."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from typing import TYPE_CHECKING, Any

import nbclient
import nbformat
import pytest
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop

from tests.helpers.apps import describe, marked, python_path
from tests.helpers.pages import NOTEBOOK, ROOT, blocks_of
from tests.helpers.reader import assert_shown

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "notebooks.md"
_MARK = "AELASTIC_TEST_MARK"

# Of jupyter_client and pyzmq, which leave sockets to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Kernel is running over TCP"),
]


class Kernel:
    """A kernel, and what it shows."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env={**os.environ, _MARK: self._mark, "PYTHONPATH": python_path()})
        self._client = self.manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=30)
        self.shown = ""

    def submit(self, cell: str) -> str:
        return str(self._client.execute(cell))

    def shows(self, text: str) -> None:
        """Wait until ``text`` is shown by whatever cell."""
        while text not in self.shown:
            self._note(self._client.get_iopub_msg(timeout=30))

    def reply(self, submitted: str) -> dict[str, Any]:
        """How the cell ended, when all that it shows was seen."""
        while True:
            message = self._client.get_iopub_msg(timeout=30)
            self._note(message)
            idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if idle and message["parent_header"].get("msg_id") == submitted:
                break
        reply: dict[str, Any] = self._client.get_shell_msg(timeout=30)["content"]
        return reply

    def _note(self, message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            self.shown += message["content"]["text"]

    def survivors(self) -> list[str]:
        deadline = time.monotonic() + 10
        while (pids := marked(_MARK, self._mark)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return [describe(pid) for pid in pids]

    def close(self) -> None:
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture(scope="module", autouse=True)
def jupyters_loop() -> Iterator[None]:
    """Its blocking calls make a loop with the first one, and keep it."""
    loop = ensure_event_loop()
    yield
    loop.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


RUNS = """
import aelastic, sys
STEPS = "import time, sys\\nfor step in range(6000): print('step', step, flush=True); time.sleep(0.01)"
ctx = await aelastic.start_processes(
    "train", sys.executable, args={0: ("-c", STEPS), 1: ("-c", STEPS)}, envs={0: {}, 1: {}},
    logs_specs=aelastic.DefaultLogsSpecs(tee=aelastic.Std.ALL))
"""


def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path())
    notebook = nbformat.reads(NOTEBOOK.read_text(), 4)  # type: ignore[no-untyped-call]
    assert not any(cell.get("outputs") for cell in notebook.cells), "strip the outputs"
    asyncio.run(nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").async_execute())
    shown = {
        cell.source: "".join(output.text for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    told = [block for block in blocks_of("", PAGE.read_text()) if block.language == "text"]
    for code, text in zip(list(shown)[1:], told, strict=True):
        assert_shown(text.text, shown[code])
    lines = list(shown.values())[1].splitlines()
    assert sorted(line.partition(":")[0] for line in lines[:-1]) == [
        f"[pi{rank}]" for rank in range(4) for _ in range(4)
    ]


def test_an_interrupt_stops_what_a_cell_waits_for(kernel: Kernel) -> None:
    cell = kernel.submit(RUNS + "result = await ctx.wait()")
    kernel.shows("[train1]:step 5")  # while the cell runs
    kernel.manager.interrupt_kernel()
    assert kernel.reply(cell)["status"] == "error"
    assert kernel.reply(kernel.submit("print('ended', ctx.result.exitcodes)"))["status"] == "ok"
    assert "ended {0: -15, 1: -15}" in kernel.shown


def test_lines_are_shown_while_other_cells_run(kernel: Kernel) -> None:
    assert kernel.reply(kernel.submit(RUNS))["status"] == "ok"
    assert kernel.reply(kernel.submit("print('another cell')"))["status"] == "ok"
    kernel.shows("[train0]:step 50\n")
    assert kernel.reply(kernel.submit("await ctx.close()"))["status"] == "ok"


@pytest.mark.parametrize("now", [False, True], ids=["shut down", "killed"])
def test_the_end_of_the_kernel_leaves_nothing(kernel: Kernel, now: bool) -> None:
    kernel.reply(kernel.submit(RUNS))
    kernel.shows("[train1]:step 5")
    kernel.manager.shutdown_kernel(now=now)
    assert kernel.survivors() == []
