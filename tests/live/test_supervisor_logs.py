"""The output of ranks that are started one by one: one console, files of each attempt, anybody's specs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import aelastic
from tests.helpers.ranks import redirected
from tests.helpers.supervisors import AT_ONCE, fails_until, next_event, one_for_one

pytestmark = pytest.mark.asyncio

ATTEMPT = "TORCHELASTIC_RESTART_COUNT"


async def result_of(supervisor: aelastic.Supervisor) -> aelastic.RunProcsResult:
    """Run it to its end."""
    async with supervisor:
        return await supervisor.wait()


async def test_lines_of_different_ranks_do_not_mix(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All of them on one console, as fast as they can, also those that are started again meanwhile."""
    count, line = 3000, "x" * 500
    script = f"seq -f '%g {line}' {count}; {fails_until(1)}"
    specs = aelastic.DefaultLogsSpecs(str(tmp_path), tee=aelastic.Std.OUT)
    await result_of(one_for_one(*[script] * 4, name="r", logs_specs=specs))
    shown = capfd.readouterr().out.splitlines()
    assert len(shown) == 4 * 2 * count
    for rank in range(4):
        lines = [one for one in shown if one.startswith(f"[r{rank}]:")]
        assert lines == [f"[r{rank}]:{number} {line}" for number in range(1, count + 1)] * 2


async def test_stdout_and_stderr_of_one_console(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    specs = aelastic.DefaultLogsSpecs(str(tmp_path), tee=aelastic.Std.ALL)
    await result_of(one_for_one("echo out; echo err >&2", logs_specs=specs))
    assert capfd.readouterr() == ("[w0]:out\n", "[w0]:err\n")


async def test_filtered_lines_of_each_attempt(tmp_path: Path) -> None:
    specs = aelastic.DefaultLogsSpecs(str(tmp_path), tee=aelastic.Std.OUT)
    script = f"echo loss ${ATTEMPT}; echo other; {fails_until(1)}"
    await result_of(one_for_one(script, script, logs_specs=specs, duplicate_stdout_filters=["loss"]))
    (run,) = tmp_path.iterdir()
    for number in (0, 1):
        for rank in (0, 1):
            file = run / f"attempt_{number}" / str(rank) / "filtered_stdout.log"
            assert file.read_text() == f"[w{rank}]:loss {number}\n"


async def test_a_temporary_directory_is_released_at_the_end_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    waits = "until [ -e $GO ]; do sleep 0.01; done; ls -d $(dirname $TORCHELASTIC_ERROR_FILE) > $GO"
    go = tmp_path.with_name(tmp_path.name + "_go")
    supervisor = one_for_one(waits, "exit 0", envs={0: {"GO": str(go)}, 1: {}})
    events = supervisor.events()
    async with supervisor:
        await next_event(events, aelastic.RankExited, rank=1)
        go.touch()
        await supervisor.wait()
    assert go.read_text().endswith("attempt_0/0\n")
    assert os.listdir(tmp_path) == []


class Flat(aelastic.LogsSpecs):
    """Specs of somebody's own: no directories, and something for the ranks."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.asked: list[dict[int, str]] = []

    def reify(self, envs: dict[int, dict[str, str]]) -> aelastic.LogsDest:
        self.asked.append({rank: env[ATTEMPT] for rank, env in envs.items()})
        for rank, env in envs.items():
            env["ADDED"] = f"by reify for {rank}"
        number = envs[0][ATTEMPT]
        files = {rank: str(self.directory / f"{number}_{rank}") for rank in range(len(envs))}
        return aelastic.LogsDest(files, dict.fromkeys(files, ""), error_files=dict.fromkeys(files, os.devnull))

    @property
    def root_log_dir(self) -> str:
        return str(self.directory)


async def test_specs_of_ones_own_are_asked_about_all_ranks_under_a_new_number(tmp_path: Path) -> None:
    specs = Flat(tmp_path)
    script = f"echo $ADDED, attempt ${ATTEMPT}; {fails_until(1)}"
    result = await result_of(one_for_one(script, script, logs_specs=specs))
    assert len(specs.asked) == 4
    assert all(len(asked) == 2 for asked in specs.asked)
    texts = [Path(path).read_text() for attempt in result.attempts for path in attempt.stdouts.values()]
    assert {text for text in texts if text} == {
        f"by reify for {rank}, attempt {number}\n" for rank in (0, 1) for number in (0, 1)
    }


async def test_torchs_own_specs_lose_no_log(tmp_path: Path) -> None:
    torch_mp: Any = pytest.importorskip("torch.distributed.elastic.multiprocessing")
    specs = torch_mp.DefaultLogsSpecs(str(tmp_path), redirects=torch_mp.Std.ALL)
    script = f"echo attempt ${ATTEMPT} of $RANK; {fails_until(2)}"
    envs = {rank: {"RANK": str(rank)} for rank in range(3)}
    result = await result_of(one_for_one(*[script] * 3, envs=envs, logs_specs=specs))
    assert result.exitcodes == {0: 0, 1: 0, 2: 0}
    (run,) = tmp_path.iterdir()
    said = [file.read_text() for file in run.glob("attempt_*/*/stdout.log")]
    assert sorted(filter(None, said)) == sorted(
        f"attempt {number} of {rank}\n" for rank in range(3) for number in range(3)
    )


async def test_a_rank_by_itself_has_the_cpus_that_it_would_have_among_the_others(tmp_path: Path) -> None:
    ranks = min(2, len(os.sched_getaffinity(0)))
    options = aelastic.NumaOptions(aelastic.AffinityMode.EXCLUSIVE)
    script = "grep Cpus_allowed_list /proc/self/status"
    results = [
        await result_of(
            aelastic.Supervisor(
                "w",
                "/bin/sh",
                dict.fromkeys(range(ranks), ("-c", script)),
                {rank: {} for rank in range(ranks)},
                redirected(tmp_path),
                strategy=strategy,
                restart=AT_ONCE,
                numa_options=options,
            )
        )
        for strategy in ("one_for_all", "one_for_one")
    ]
    gang, alone = ([Path(one.stdouts[rank]).read_text() for rank in range(ranks)] for one in results)
    assert gang == alone
    assert len(set(alone)) == ranks
