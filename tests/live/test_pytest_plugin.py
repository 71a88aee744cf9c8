"""The pytest plugin, in pytest sessions of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

from tests.helpers.apps import describe, marked, python_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")
ASYNCIO, ANYIO = ("-p", "pytest_asyncio.plugin", *_SCOPE), ("-p", "anyio.pytest_plugin")
TIMEOUT, XDIST = ("-p", "pytest_timeout"), ("-p", "xdist.plugin")
_MARK = "AELASTIC_TEST_MARK"
_FULL = os.environ.get("AELASTIC_TEST_FULL") == "1"

HEAD = """
import sys, time
import aelastic, pytest

PYTHON = sys.executable
STEPS = '''
import sys, time
print("a word on stderr", file=sys.stderr)
for step in range(6000):
    print("step", step, flush=True)
    time.sleep(0.01)
'''
FAILS = '''
from aelastic.errors import record

@record
def train():
    print("going to fail")
    raise ValueError("no luck")

train()
'''
SAYS_GOODBYE = '''
import signal, sys, time
def leave(*_):
    open(sys.argv[1], "w").write("goodbye")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("listening", flush=True)
while True:
    time.sleep(0.01)
'''
LEAVES = '''
import os, subprocess
env = {**os.environ, "AELASTIC_DETACH": "1"}
subprocess.Popen(["sleep", "3"], env=env, start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
'''
ranks_of = lambda *scripts: {rank: ("-c", script) for rank, script in enumerate(scripts)}
"""


class Session:
    """Pytests that run the tests in ``directory``; what survives of them and of all that they started can be seen."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._mark = uuid.uuid4().hex
        self._processes: list[subprocess.Popen[str]] = []

    def write(self, tests: str, name: str = "test_it.py", head: str = HEAD) -> None:
        (self.directory / name).write_text(head + textwrap.dedent(tests))

    def start(self, *options: str, autoload: bool = False) -> subprocess.Popen[str]:
        env = {**os.environ, _MARK: self._mark, "PYTHONPATH": python_path(), "PYTEST_ADDOPTS": ""}
        if not autoload:
            env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
            options = ("-p", "aelastic.testing.plugin", *options)
        base = self.directory / f"base-{len(self._processes)}"
        started = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={base}", *options],
            cwd=self.directory, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._processes.append(started)
        return started

    def run(self, *options: str, autoload: bool = False) -> str:
        """All that it writes."""
        return self.start(*options, autoload=autoload).communicate(timeout=50)[0]

    def has_written(self, name: str, times: int = 1) -> bool:
        """Wait for files that the tests or their ranks write."""
        deadline = time.monotonic() + 40
        while len(list(self.directory.glob(name))) < times:
            if time.monotonic() > deadline or all(one.poll() is not None for one in self._processes):
                return False
            time.sleep(0.01)
        return True

    def survivors(self, patience: float = 5.0) -> list[str]:
        deadline = time.monotonic() + patience
        while (pids := marked(_MARK, self._mark)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return [describe(pid) for pid in pids]

    def clean_up(self) -> None:
        for pid in marked(_MARK, self._mark):
            os.kill(pid, signal.SIGKILL)
        for one in self._processes:
            if one.returncode is None:
                one.communicate()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    made = Session(tmp_path / "session")
    yield made
    made.clean_up()


FAILING = """
    @pytest.mark.{plugin}
    async def test_that_fails(ranks{more}):
        ctx = await ranks.start("train", PYTHON, ranks_of(STEPS, FAILS))
        result = await ctx.wait()
        assert not result.is_failed()

    @pytest.mark.{plugin}
    async def test_with_ranks_that_run(ranks{more}):
        ctx = await ranks.start("train", PYTHON, ranks_of(STEPS))
        await ranks.line(ctx, "step 5")
        raise RuntimeError("the test itself")

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""


@pytest.mark.parametrize(
    ("plugin", "options", "more"),
    [("asyncio", ASYNCIO, ""), ("anyio", ANYIO, ", anyio_backend")],
    ids=["asyncio", "anyio"],
)
def test_a_failing_test_shows_the_traceback_and_the_last_lines(
    session: Session, plugin: str, options: tuple[str, ...], more: str
) -> None:
    session.write(FAILING.format(plugin=plugin, more=more))
    shown = session.run(*options)
    assert "2 failed" in shown
    assert shown.count(" aelastic ranks ") == 2
    first, second = shown.split(" test_with_ranks_that_run ")[:2]
    assert "train, rank 1 (pid " in first
    assert "stdout: going to fail" in first
    assert "Root Cause (first observed failure):" in first
    assert "ValueError: no luck" in first
    assert "stderr: a word on stderr" in second
    assert "stdout: step 5" in second
    assert session.survivors() == []


def test_without_any_plugin_for_coroutines(session: Session) -> None:
    session.write("""
        def test_it(services):
            service = services.start("steps", PYTHON, ranks_of(STEPS), readiness=aelastic.LogProbe("step 3"))
            assert any("step 3" in line.text for line in service.logs())
            assert service.snapshot()[0].ready
            raise RuntimeError("the test itself")
    """)
    shown = session.run()
    assert "steps, rank 0 (pid " in shown
    assert "stdout: step 3" in shown
    assert "1 failed" in shown
    assert session.survivors() == []


def test_with_asyncio_switched_off(session: Session) -> None:
    session.write("def test_it(services):\n    assert services.port()\n")
    assert "1 passed" in session.run("-p", "no:asyncio", "-p", "no:anyio")


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_timeout(session: Session, method: str) -> None:
    session.write("""
        @pytest.mark.asyncio
        async def test_that_hangs(ranks):
            ctx = await ranks.start("train", PYTHON, ranks_of(STEPS, STEPS))
            await ranks.line(ctx, "step 5")
            open("started", "w").close()
            await ctx.wait()
    """)
    shown = session.run(*ASYNCIO, *TIMEOUT, "--timeout=3", f"--timeout-method={method}")
    assert "Timeout" in shown
    if method == "signal":  # the other one ends pytest on the spot
        assert "train, rank 1 (pid " in shown
        assert "stdout: step " in shown
    assert session.survivors() == []


INTERRUPTED = """
    import pathlib

    @pytest.fixture(scope="session")
    def service(services):
        rank = {0: ("-c", SAYS_GOODBYE, "goodbye-service")}
        services.start("service", PYTHON, rank, readiness=aelastic.LogProbe("listening"))

    @pytest.mark.asyncio
    async def test_that_hangs(ranks, service):
        rank = {0: ("-c", SAYS_GOODBYE, "goodbye-rank")}
        ctx = await ranks.start("gang", PYTHON, rank, readiness=aelastic.LogProbe("listening"))
        pathlib.Path("started").touch()
        await ctx.wait()

    def test_that_hangs_without_a_loop(service):
        pathlib.Path("started").touch()
        time.sleep(600)
"""


@pytest.mark.parametrize("test", ["test_that_hangs", "test_that_hangs_without_a_loop"])
def test_ctrl_c(session: Session, test: str) -> None:
    session.write(INTERRUPTED)
    process = session.start(*ASYNCIO, f"test_it.py::{test}")
    assert session.has_written("started")
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in shown
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert (session.directory / "goodbye-service").read_text() == "goodbye"
    if test == "test_that_hangs":
        assert (session.directory / "goodbye-rank").read_text() == "goodbye"
    assert session.survivors() == []


def test_the_first_failure_ends_the_session(session: Session) -> None:
    session.write(FAILING.format(plugin="asyncio", more=""))
    shown = session.run(*ASYNCIO, "-x")
    assert "ValueError: no luck" in shown
    assert "1 failed" in shown
    assert session.survivors() == []


def test_a_service_that_a_test_has_closed_does_not_end_the_session(session: Session) -> None:
    session.write("""
        def test_it(services):
            service = services.start("steps", PYTHON, ranks_of(STEPS), readiness=aelastic.LogProbe("step 3"))
            service.close()
            raise RuntimeError("the test itself")

        def test_another():
            pass
    """)
    shown = session.run()
    assert "steps: 'steps' was not started, or is closed" in shown
    assert "1 failed, 1 passed" in shown
    assert session.survivors() == []


def test_a_timeout_that_comes_while_ranks_are_heard_does_not_end_the_session(session: Session) -> None:
    """As pytest-timeout's, whose timer still runs when the test itself is over."""
    session.write("""
        import signal

        @pytest.mark.asyncio
        async def test_it(ranks):
            ctx = await ranks.start("train", PYTHON, ranks_of(STEPS, "raise SystemExit(3)"), failure_grace=600)
            while ctx.snapshot()[1].exitcode is None:
                await ctx.wait(0.01)
            signal.signal(signal.SIGALRM, lambda *_: pytest.fail("Timeout"))
            signal.setitimer(signal.ITIMER_REAL, 0.5)  # they are heard for two seconds
            raise RuntimeError("the test itself")

        def test_another():
            pass
    """)
    shown = session.run(*ASYNCIO)
    assert "INTERNALERROR" not in shown
    assert "1 failed, 1 passed" in shown
    assert "(ranks cannot be told of: " in shown
    assert session.survivors() == []


def test_ranks_cannot_be_closed_by_their_own_loop(session: Session) -> None:
    session.write("""
        @pytest.mark.asyncio
        async def test_it(ranks):
            await ranks.start("train", PYTHON, ranks_of(STEPS))
            with pytest.raises(RuntimeError, match="the loop of the ranks would wait for itself"):
                ranks.close()
    """)
    assert "1 passed" in session.run(*ASYNCIO, *TIMEOUT, "--timeout=10")
    assert session.survivors() == []


def test_xdist(session: Session) -> None:
    session.write("""
        @pytest.fixture(scope="session")
        def port(services):
            port = services.port()
            web = {0: ("-m", "http.server", str(port), "--bind", "127.0.0.1")}
            services.start("web", PYTHON, web, readiness=aelastic.TcpProbe(port))
            return port

        @pytest.mark.asyncio
        @pytest.mark.parametrize("number", range(4))
        async def test_it(ranks, port, number):
            ctx = await ranks.start("train", PYTHON, ranks_of(STEPS))
            await ranks.line(ctx, "step 5")
            raise RuntimeError(f"port {port}")
    """)
    shown = session.run(*ASYNCIO, *XDIST, "-n", "2")
    assert "4 failed" in shown
    assert shown.count(" aelastic ranks ") == 8
    assert len({line.split()[-1] for line in shown.splitlines() if "RuntimeError: port" in line and "E " in line}) == 2
    assert session.survivors() == []


def test_services_are_heard_while_no_loop_of_a_test_runs(session: Session) -> None:
    session.write("""
        import pathlib, pytest_asyncio
        WRITES = "for _ in range(20_000): print('x' * 99)\\nopen('written', 'w').close()\\n"

        @pytest_asyncio.fixture(loop_scope="session", scope="session")
        async def service(services):
            yield services.start("service", PYTHON, ranks_of(WRITES + "import time; time.sleep(600)"))

        @pytest.mark.asyncio(loop_scope="session")
        async def test_in_the_loop_of_the_session(service, ranks):
            await ranks.line(await ranks.start("steps", PYTHON, ranks_of(STEPS)), "step 3")
            assert service.snapshot()[0].state is aelastic.RankState.RUNNING

        def test_without_a_loop(service):
            while not pathlib.Path("written").exists():
                time.sleep(0.01)

        @pytest.mark.asyncio
        async def test_in_a_loop_of_its_own(service):
            assert service.snapshot()[0].last_line == "x" * 99
    """)
    assert "3 passed" in session.run(*ASYNCIO)
    assert session.survivors() == []


def test_anyio_shares_a_service_in_a_fixture_of_higher_scope(session: Session) -> None:
    session.write("""
        @pytest.fixture(scope="module")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="module")
        async def service(services, anyio_backend):
            yield services.start("steps", PYTHON, ranks_of(STEPS), readiness=aelastic.LogProbe("step 1"))

        @pytest.mark.anyio
        @pytest.mark.parametrize("number", range(2))
        async def test_it(service, ranks, number):
            ctx = await ranks.start("more", PYTHON, ranks_of(STEPS))
            await ranks.line(ctx, "step 1")
            assert service.snapshot()[0].ready
    """)
    assert "2 passed" in session.run(*ANYIO)
    assert session.survivors() == []


def test_faults_at_a_line(session: Session) -> None:
    session.write("""
        import pathlib
        state = lambda pid: pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

        @pytest.mark.asyncio
        async def test_it(ranks):
            ctx = await ranks.start("train", PYTHON, ranks_of(STEPS, STEPS), failure_grace=60)
            await ranks.freeze(ctx, 0, after="step 3")
            assert state(ctx.pids()[0]) == "T"
            await ranks.kill(ctx, 1, after="step 20")
            assert ctx.snapshot()[1].exitcode == -9
            assert state(ctx.pids()[0]) == "T"
            await ranks.resume(ctx, 0)
            await ranks.line(ctx, "step 40", rank=0)
            with pytest.raises(AssertionError, match="rank 1 does not run; it is exited"):
                await ranks.kill(ctx, 1)
            ctx.request_stop()
            with pytest.raises(AssertionError, match="'train' ended without a line with 'epoch'"):
                await ranks.line(ctx, "epoch")

        @pytest.mark.asyncio
        async def test_a_supervisor(ranks):
            sup = await ranks.supervise("train", PYTHON, ranks_of(STEPS), strategy="one_for_one",
                                        restart=aelastic.RestartPolicy(max_restarts=3, backoff=0))
            first = sup.pids()[0]
            await ranks.kill(sup, 0, after="step 3")
            async for event in sup.events():
                if isinstance(event, aelastic.RankStarted) and event.attempt == 1:
                    break
            assert sup.pids()[0] != first
            await ranks.freeze(sup, 0, after="step 5")
    """)
    assert "2 passed" in session.run(*ASYNCIO)
    assert session.survivors() == []


def test_a_service_that_does_not_come_up(session: Session) -> None:
    session.write("""
        import pytest_asyncio

        @pytest_asyncio.fixture
        async def server(ranks):
            return await ranks.start("server", PYTHON, ranks_of(FAILS), readiness=aelastic.LogProbe("listening"))

        @pytest.mark.asyncio
        async def test_it(server):
            raise AssertionError("not reached")
    """)
    shown = session.run(*ASYNCIO)
    assert "NotReadyError: 'server': rank 0 exited with code 1" in shown
    assert "1 error" in shown
    assert "ValueError: no luck" in shown.split(" aelastic ranks ")[1]
    assert session.survivors() == []


def test_what_is_left_behind_is_an_error(session: Session) -> None:
    """Nothing stays by itself: here a rank does it on purpose, and only for a moment."""
    session.write("""
        @pytest.mark.asyncio
        async def test_it(ranks):
            ctx = await ranks.start("leaves", PYTHON, ranks_of(LEAVES))
            await ctx.wait()
    """)
    shown = session.run(*ASYNCIO)
    assert "1 passed, 1 error" in shown
    assert "left behind: leaves, rank 0: pid " in shown


@pytest.mark.timeout(600 if _FULL else 60)
def test_sessions_that_are_killed_leave_nothing(session: Session) -> None:
    """Five at a time; with ``AELASTIC_TEST_FULL=1`` fifty in all."""
    session.write(
        INTERRUPTED.replace('pathlib.Path("started")', "pathlib.Path(f\"started-{__import__('os').getpid()}\")")
    )
    options = [*[ASYNCIO] * 4, (*ASYNCIO, *XDIST, "-n", "1")]
    for batch in range(10 if _FULL else 1):
        sessions = [session.start(*one, "test_it.py::test_that_hangs") for one in options]
        assert session.has_written("started-*", times=5 * (batch + 1))
        for one in sessions:
            one.kill()
            one.communicate()
        assert session.survivors() == []


def test_an_unused_plugin_imports_nothing(session: Session) -> None:
    session.write(
        "def test_it():\n    import sys\n    ours = {name for name in sys.modules if name.startswith('aelastic')}\n"
        "    assert ours == {'aelastic', 'aelastic.lazy', 'aelastic.testing', 'aelastic.testing.plugin'}\n"
        "    assert not {'asyncio', 'anyio', 'aiofiles'} & set(sys.modules)\n",
        head="",
    )
    shown = session.run()
    assert "1 passed" in shown, shown


def test_pytest_finds_the_plugin_by_itself(session: Session) -> None:
    (found,) = entry_points(group="pytest11", name="aelastic")  # none: install the project again
    assert found.value == "aelastic.testing.plugin"
    session.write("def test_it(services):\n    assert services.port()\n", head="")
    assert "1 passed" in session.run(*_SCOPE, autoload=True)
    assert "fixture 'services' not found" in session.run(*_SCOPE, "-p", "no:aelastic", autoload=True)
