"""Start is all or nothing, and every rank gets what it was promised."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import aelastic
from tests.helpers.ranks import child, is_alive, line_of, redirected, shell

asynchronous = pytest.mark.asyncio


class OwnSpecs(aelastic.DefaultLogsSpecs):
    """A user's own: lets a test change the destinations."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        super().__init__(os.fspath(directory), redirects=aelastic.Std.ALL)
        self.changes = changes

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        """Default destinations, changed."""
        dest = super().reify(envs)
        for what, by_rank in self.changes.items():
            getattr(dest, what).update(by_rank)
        return dest


def program(path: Path, text: str = "#!/bin/sh\necho here\n", mode: int = 0o755) -> str:
    """A program at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


async def start_failing(error: type[BaseException], match: str, ctx: aelastic.PContext) -> BaseException:
    """The start of ``ctx`` fails with ``error``, and what had been started is gone."""
    with pytest.raises(error, match=match) as caught:
        await ctx.start()
    assert not [pid for pid in ctx.pids().values() if is_alive(pid)]
    with pytest.raises(error):
        await ctx.wait()
    return caught.value


def sleepers(count: int, entrypoint: str = "/bin/sleep", **options: Any) -> aelastic.SubprocessContext:
    """A context of ``count`` ranks that sleep."""
    options.setdefault("envs", {rank: {} for rank in range(count)})
    options.setdefault("args", dict.fromkeys(range(count), ("600",)))
    return aelastic.SubprocessContext("w", entrypoint, **options)


async def described(tmp_path: Path, count: int = 1, **options: Any) -> list[dict[str, Any]]:
    """What each of ``count`` ranks says about what it was started with."""
    options.setdefault("logs_specs", redirected(tmp_path))
    async with shell(*[child("describes_itself")] * count, **options) as ctx:
        result = await ctx.wait()
    assert result is not None
    result.raise_for_failures()
    return [json.loads(Path(result.stdouts[rank]).read_text()) for rank in range(count)]


# All or nothing


@asynchronous
@pytest.mark.parametrize("name", ["no-such-program", "/no/such/program", "./no-such-program"])
async def test_a_missing_program_is_named_with_its_rank(name: str) -> None:
    error = await start_failing(FileNotFoundError, "rank 0", sleepers(2, name))
    assert isinstance(error, OSError)
    assert error.filename == name


@asynchronous
async def test_a_directory_is_no_program(tmp_path: Path) -> None:
    await start_failing(IsADirectoryError, "rank 0.*directory", sleepers(2, str(tmp_path)))


@asynchronous
async def test_a_program_without_run_permission_is_refused(tmp_path: Path) -> None:
    path = program(tmp_path / "p", mode=0o644)
    await start_failing(PermissionError, "rank 0.*permission", sleepers(2, path))


@asynchronous
async def test_what_the_kernel_cannot_execute_is_an_error_of_its_rank(tmp_path: Path) -> None:
    path = program(tmp_path / "p", "no format that a kernel knows")
    error = await start_failing(OSError, "rank 0.*Exec format error", sleepers(2, path))
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOEXEC


@asynchronous
async def test_a_script_whose_interpreter_is_missing_is_an_error_of_its_rank(tmp_path: Path) -> None:
    path = program(tmp_path / "p", "#!/no/such/interpreter\n")
    await start_failing(FileNotFoundError, "rank 0", sleepers(2, path))


class RaisingSpecs(aelastic.DefaultLogsSpecs):
    """A user's own with a bug."""

    error: BaseException

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        """Raise."""
        raise self.error


@asynchronous
async def test_what_reify_raises_reaches_the_caller() -> None:
    specs = RaisingSpecs()
    specs.error = KeyError("mine")
    error = await start_failing(KeyError, "mine", sleepers(2, logs_specs=specs))
    assert error is specs.error


@asynchronous
async def test_stop_iteration_from_reify_does_not_hang_the_start() -> None:
    specs = RaisingSpecs()
    specs.error = StopIteration()  # an unguarded next(); no future can carry it
    await start_failing(RuntimeError, "StopIteration", sleepers(2, logs_specs=specs))


@asynchronous
@pytest.mark.parametrize("what", ["stdouts", "stderrs", "error_files"])
async def test_destinations_that_lack_a_rank_start_nothing(what: str, tmp_path: Path) -> None:
    class Lacking(OwnSpecs):
        def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
            dest = super().reify(envs)
            del getattr(dest, what)[1]
            return dest

    await start_failing(aelastic.InvalidRanksError, rf"{what}.*\[1\]", sleepers(2, logs_specs=Lacking(tmp_path)))


@pytest.mark.parametrize(
    ("env", "match"),
    [
        ({"A=B": "x"}, r"envs\[1\]: 'A' with '='"),
        ({"": "x"}, r"envs\[1\]: ''"),
        ({"A\0": "x"}, r"envs\[1\]"),
        ({"A": "x\0"}, r"envs\[1\]\['A'\].*NUL"),
        ({"A": 1}, r"envs\[1\]\['A'\].*int"),
        ({"A": None}, r"envs\[1\]\['A'\].*NoneType"),
        ({1: "x"}, r"envs\[1\]: expected a str.*int"),
    ],
)
def test_an_impossible_environment_is_refused_at_once(env: Any, match: str) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match=match):
        shell("true", "true", envs={0: {}, 1: env})


@asynchronous
async def test_an_impossible_environment_from_reify_starts_nothing(tmp_path: Path) -> None:
    class Adding(OwnSpecs):
        def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
            envs[1]["PORT"] = 29500  # type: ignore[assignment]
            return super().reify(envs)

    ctx = sleepers(2, logs_specs=Adding(tmp_path))
    await start_failing(aelastic.InvalidArgumentError, r"envs\[1\]\['PORT'\].*int", ctx)


@pytest.mark.parametrize("death_sig", [0, -1, 99, "SIGTERM", None])
def test_an_impossible_death_signal_is_refused_at_once(death_sig: Any) -> None:
    with pytest.raises(aelastic.InvalidArgumentError, match="death_sig"):
        shell("true", death_sig=death_sig)


@asynchronous
async def test_a_process_that_nothing_is_left_to_watch_with_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    execute = subprocess.Popen._execute_child  # type: ignore[attr-defined]

    def noting(self: subprocess.Popen[bytes], *args: Any) -> None:
        execute(self, *args)
        started.append(self.pid)

    def refuse(*_: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    def start_but_no_watcher(self: threading.Thread) -> None:
        if "wait" in self.name:
            raise RuntimeError("can't start new thread")
        start(self)

    start = threading.Thread.start
    monkeypatch.setattr(subprocess.Popen, "_execute_child", noting)
    ctx = sleepers(2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        patch.setattr(threading.Thread, "start", start_but_no_watcher)
        with pytest.raises((OSError, RuntimeError), match=r"open files|new thread"):
            await ctx.start()
    assert len(started) == 1
    assert not is_alive(started[0])


@asynchronous
async def test_the_callers_dicts_are_not_changed(tmp_path: Path) -> None:
    args = {0: ("-c", "true"), 1: ("-c", "true")}
    envs: dict[int, dict[str, str]] = {0: {"A": "0"}, 1: {}}
    prefixes = {0: "zero "}
    async with aelastic.start_processes(
        "w", "/bin/sh", args, envs, logs_specs=redirected(tmp_path), log_line_prefixes=prefixes
    ) as ctx:
        await ctx.wait()
    assert args == {0: ("-c", "true"), 1: ("-c", "true")}
    assert envs == {0: {"A": "0"}, 1: {}}
    assert prefixes == {0: "zero "}


@asynchronous
async def test_a_rank_that_fails_during_the_start_of_many_ends_the_run() -> None:
    async with shell("exit 3", *["exec sleep 600"] * 63) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert result.first_failure is not None
    assert (result.first_failure.local_rank, result.first_failure.exitcode) == (0, 3)
    assert result.exitcodes == dict.fromkeys(ctx.pids(), -15) | {0: 3}
    assert all(result.failures[rank].collateral for rank in result.exitcodes if rank)


# Ways to start


@asynchronous
async def test_awaiting_gives_a_started_context() -> None:
    ctx = await shell("exec sleep 600")
    assert is_alive(ctx.pids()[0])
    await ctx.close()
    assert not is_alive(ctx.pids()[0])


@asynchronous
async def test_entering_gives_a_started_context() -> None:
    async with shell("exec sleep 600") as ctx:
        assert is_alive(ctx.pids()[0])
    assert not is_alive(ctx.pids()[0])


@asynchronous
async def test_a_context_of_ones_own_can_be_entered() -> None:
    async with sleepers(1) as ctx:
        assert is_alive(ctx.pids()[0])
    assert not is_alive(ctx.pids()[0])


@asynchronous
async def test_a_second_start_is_refused() -> None:
    ctx = await shell("exit 0")
    with pytest.raises(ValueError, match="started already"):
        await ctx.start()
    await ctx.close()
    with pytest.raises(ValueError, match="started already"):
        await ctx.start()


@asynchronous
async def test_before_the_start_there_is_nothing_to_ask() -> None:
    ctx = sleepers(1)
    for ask in (ctx.pids, ctx.snapshot, ctx.events, ctx.logs, lambda: ctx.send_signal(15)):
        with pytest.raises(aelastic.NotRunningError, match="not started"):
            ask()
    with pytest.raises(aelastic.NotRunningError, match="not started"):
        await ctx.wait()
    assert ctx.result is None
    assert (ctx.stdouts, ctx.stderrs, ctx.error_files) == ({}, {}, {})
    await ctx.close()


# What a rank gets


@asynchronous
async def test_the_program_is_looked_up_on_the_path_of_its_own_rank(tmp_path: Path) -> None:
    envs = {}
    for rank in range(2):
        program(tmp_path / str(rank) / "mine", f"#!/bin/sh\necho program {rank}\n")
        envs[rank] = {"PATH": f"{tmp_path / str(rank)}:{os.environ['PATH']}"}
    args: dict[int, tuple[str, ...]] = {0: (), 1: ()}
    async with aelastic.start_processes("w", "mine", args, envs, logs_specs=redirected(tmp_path / "logs")) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert [Path(path).read_text() for path in result.stdouts.values()] == ["program 0\n", "program 1\n"]


@asynchronous
async def test_the_rank_on_whose_path_the_program_is_missing_is_named(tmp_path: Path) -> None:
    program(tmp_path / "mine")
    envs = {0: {"PATH": str(tmp_path)}, 1: {"PATH": "/no/such/directory"}}
    await start_failing(
        FileNotFoundError, r"rank 1.*no directory of PATH \(1 looked into\)", sleepers(2, "mine", envs=envs)
    )


@asynchronous
async def test_a_logs_specs_written_for_torch_works(tmp_path: Path) -> None:
    class Theirs(aelastic.LogsSpecs):
        """Knows nothing of ``release``, and writes into ``envs`` as torch's does."""

        def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
            dest = aelastic.LogsDest()
            for rank, env in envs.items():
                dest.stdouts[rank], dest.stderrs[rank] = str(tmp_path / f"{rank}.out"), ""
                dest.error_files[rank] = str(tmp_path / f"{rank}.json")
                env["TORCHELASTIC_ERROR_FILE"] = str(tmp_path / f"own{rank}.json")
                env["ADDED"] = f"by reify for {rank}"
            return dest

        @property
        def root_log_dir(self) -> str:
            return str(tmp_path)

    envs: dict[int, dict[str, str]] = {0: {}, 1: {}}
    script = 'echo "$ADDED: $TORCHELASTIC_ERROR_FILE"'
    async with shell(script, script, envs=envs, logs_specs=Theirs()) as ctx:
        await ctx.wait()
    assert (tmp_path / "1.out").read_text() == f"by reify for 1: {tmp_path}/own1.json\n"
    assert envs == {0: {}, 1: {}}


@asynchronous
async def test_the_logs_specs_of_torch_itself_works(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch.distributed.elastic.multiprocessing")
    specs = torch.DefaultLogsSpecs(log_dir=str(tmp_path), redirects=torch.Std.ALL, tee=torch.Std.ERR)
    envs: dict[int, dict[str, str]] = {0: {"TORCHELASTIC_RUN_ID": "mine"}, 1: {}}
    tells = 'echo "$TORCHELASTIC_ERROR_FILE"; exit 3'
    async with shell("echo out", tells, envs=envs, logs_specs=specs, failure_grace=30) as ctx:
        result = await ctx.wait()
    assert result is not None
    assert Path(result.stdouts[0]).read_text() == "out\n"
    assert Path(result.stdouts[1]).read_text() == f"{ctx.error_files[1]}\n"
    assert result.stdouts[0].startswith(f"{tmp_path}/mine_")
    assert envs == {0: {"TORCHELASTIC_RUN_ID": "mine"}, 1: {}}


@asynchronous
async def test_the_error_file_is_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    specs = aelastic.DefaultLogsSpecs("relative", redirects=aelastic.Std.ALL)
    async with shell("cd /; printf %s $TORCHELASTIC_ERROR_FILE", logs_specs=specs) as ctx:
        result = await ctx.wait()
    assert result is not None
    path = Path(result.stdouts[0]).read_text()
    assert path == ctx.error_files[0]
    assert path.startswith(f"{tmp_path}/relative/")


@asynchronous
async def test_without_a_log_directory_there_is_no_error_file(tmp_path: Path) -> None:
    script = f'printf "<%s>" "$TORCHELASTIC_ERROR_FILE" > {tmp_path}/said; exit 3'
    async with shell(script, logs_specs=aelastic.DefaultLogsSpecs(os.devnull)) as ctx:
        result = await ctx.wait()
    assert (tmp_path / "said").read_text() == "<>"
    assert result is not None
    assert result.failures[0].error_file == "<N/A>"


@asynchronous
async def test_a_rank_has_its_own_session_and_nothing_of_ours(tmp_path: Path) -> None:
    for rank, about in enumerate(await described(tmp_path, count=4)):
        assert about["session"] == about["group"] == about["pid"] != os.getpid()
        assert set(about["descriptors"]) == {"0", "1", "2"}, rank
        assert about["descriptors"]["0"] == os.devnull
        assert about["input"] == ""
        assert (about["blocked"], about["ignored"]) == ([], [])


@asynchronous
async def test_a_rank_on_the_console_has_nothing_of_ours(tmp_path: Path) -> None:
    command = child("describes_itself") + f" > {tmp_path}/said"
    async with shell(command, command.replace("said", "other")) as ctx:
        await ctx.wait()
    about = json.loads((tmp_path / "said").read_text())
    assert set(about["descriptors"]) == {"0", "1", "2"}
    assert about["descriptors"]["0"] == os.devnull


@asynchronous
@pytest.mark.parametrize(
    ("application", "rank", "seen"),
    [(None, {}, "1"), ("", {}, ""), ("0", {}, "0"), (None, {"PYTHONUNBUFFERED": ""}, "")],
)
async def test_python_ranks_are_unbuffered_unless_told_otherwise(
    application: str | None, rank: dict[str, str], seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    if application is not None:
        monkeypatch.setenv("PYTHONUNBUFFERED", application)
    async with shell('printf %s "$PYTHONUNBUFFERED"', envs={0: rank}, logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
    assert Path(ctx.stdouts[0]).read_text() == seen


@asynchronous
async def test_a_python_rank_says_its_lines_at_once(tmp_path: Path) -> None:
    args = {0: ("-c", "import time; print('said'); time.sleep(600)")}
    async with aelastic.start_processes("w", sys.executable, args, {0: {}}, logs_specs=redirected(tmp_path)) as ctx:
        assert (await line_of(ctx, "said")).rank == 0


@asynchronous
async def test_arguments_are_passed_as_text(tmp_path: Path) -> None:
    args = {0: ("-c", 'printf "%s|" "$@"', "sh", 1, 2.5, Path("/p"), "ü ", "")}
    async with aelastic.start_processes("w", "/bin/sh", args, {0: {}}, logs_specs=redirected(tmp_path)) as ctx:
        await ctx.wait()
    assert Path(ctx.stdouts[0]).read_text() == "1|2.5|/p|ü ||"
