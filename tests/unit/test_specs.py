"""DefaultLogsSpecs: torch's layout, with the traps taken out."""

from __future__ import annotations

import inspect
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from aelastic.logs.specs import DefaultLogsSpecs, LogsDest, LogsSpecs
from aelastic.std import Std

TABLES = ("stdouts", "stderrs", "tee_stdouts", "tee_stderrs", "error_files")


def envs(count: int = 2, **shared: str) -> dict[int, dict[str, str]]:
    return {rank: dict(shared) for rank in range(count)}


def run_dir(dest: LogsDest) -> Path:
    """``<log_dir>/<run_id>_<random>`` of a dest."""
    return Path(dest.error_files[0]).parents[2]


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


# The layout


def test_the_layout(tmp_path: Path) -> None:
    dest = DefaultLogsSpecs(str(tmp_path), redirects=Std.OUT, tee=Std.ERR).reify(envs())
    run = run_dir(dest)
    assert run.parent == tmp_path
    assert run.name.startswith("none_")
    attempt = f"{run}/attempt_0"
    assert dest == LogsDest(
        stdouts={0: f"{attempt}/0/stdout.log", 1: f"{attempt}/1/stdout.log"},
        stderrs={0: f"{attempt}/0/stderr.log", 1: f"{attempt}/1/stderr.log"},
        tee_stdouts={},
        tee_stderrs={0: f"{attempt}/0/stderr.log", 1: f"{attempt}/1/stderr.log"},
        error_files={0: f"{attempt}/0/error.json", 1: f"{attempt}/1/error.json"},
        filtered_stdout=f"{attempt}/filtered_stdout.log",
        filtered_stderr=f"{attempt}/filtered_stderr.log",
    )


def test_directories_are_made_and_files_are_not(tmp_path: Path) -> None:
    dest = DefaultLogsSpecs(str(tmp_path), redirects=Std.ALL).reify(envs())
    assert tree(run_dir(dest)) == {"attempt_0", "attempt_0/0", "attempt_0/1"}


def test_run_id_and_attempt_are_those_of_rank_0(tmp_path: Path) -> None:
    by_rank = {
        0: {"TORCHELASTIC_RUN_ID": "job", "TORCHELASTIC_RESTART_COUNT": "3"},
        1: {"TORCHELASTIC_RUN_ID": "other", "TORCHELASTIC_RESTART_COUNT": "4"},
    }
    dest = DefaultLogsSpecs(str(tmp_path)).reify(by_rank)
    assert run_dir(dest).name.startswith("job_")
    assert Path(dest.error_files[1]).parent.parent.name == "attempt_3"


@pytest.mark.parametrize("text", ["team/job", "../escape", "/", "..", "a/../../b"])
def test_neither_leads_out_of_the_log_directory(text: str, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    specs = DefaultLogsSpecs(str(root))
    dest = specs.reify(envs(1, TORCHELASTIC_RUN_ID=text, TORCHELASTIC_RESTART_COUNT=text))
    assert run_dir(dest).resolve().parent == root
    assert Path(dest.error_files[0]).resolve().parents[2] == run_dir(dest)
    assert os.listdir(tmp_path) == ["logs"]


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.parametrize(("options", "mode"), [({}, 0o700), ({"private": True}, 0o700), ({"private": False}, 0o755)])
def test_directories_are_their_owners_alone_unless_told_otherwise(
    options: dict[str, Any], mode: int, tmp_path: Path
) -> None:
    DefaultLogsSpecs(str(tmp_path / "new" / "and" / "deep"), redirects=Std.ALL, **options).reify(envs())
    directories = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert len(directories) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {mode}


def test_a_log_directory_that_exists_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    tmp_path.chmod(0o755)
    DefaultLogsSpecs(str(tmp_path)).reify(envs())
    assert (tmp_path / "mine").exists()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_nothing_is_made_before_it_is_needed(temporary: Path) -> None:
    DefaultLogsSpecs(str(temporary / "new"))
    DefaultLogsSpecs()
    assert os.listdir(temporary) == []


# Again


def test_a_second_attempt_is_in_the_same_run(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path))
    first = specs.reify(envs(TORCHELASTIC_RESTART_COUNT="0"))
    second = specs.reify(envs(TORCHELASTIC_RESTART_COUNT="1"))
    assert run_dir(first) == run_dir(second)
    assert {path.name for path in run_dir(first).iterdir()} == {"attempt_0", "attempt_1"}


def test_the_same_attempt_is_emptied(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path), redirects=Std.ALL)
    first = specs.reify(envs(3))
    Path(first.stdouts[2]).write_text("old")
    assert specs.reify(envs(2)).stdouts[0] == first.stdouts[0]
    assert tree(run_dir(first)) == {"attempt_0", "attempt_0/0", "attempt_0/1"}


def test_other_attempts_are_left_alone(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path))
    first = specs.reify(envs(TORCHELASTIC_RESTART_COUNT="0"))
    Path(first.error_files[0]).write_text("old")
    specs.reify(envs(TORCHELASTIC_RESTART_COUNT="1"))
    assert Path(first.error_files[0]).read_text() == "old"


def attempt(number: int) -> dict[str, str]:
    return {"TORCHELASTIC_RESTART_COUNT": str(number)}


def test_one_rank_has_its_own_attempts(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path), redirects={1: Std.OUT}, tee={2: Std.ALL}, local_ranks_filter={1})
    dest = specs.reify_rank(2, attempt(4))
    (run,) = tmp_path.iterdir()
    directory = f"{run}/attempt_4/2"
    assert dest == LogsDest(
        stdouts={2: f"{directory}/stdout.log"},
        stderrs={2: f"{directory}/stderr.log"},
        error_files={2: f"{directory}/error.json"},
        filtered_stdout=f"{directory}/filtered_stdout.log",
        filtered_stderr=f"{directory}/filtered_stderr.log",
    )
    assert specs.reify_rank(1, attempt(0)).stdouts == {1: f"{run}/attempt_0/1/stdout.log"}
    assert tree(run) == {"attempt_0", "attempt_0/1", "attempt_4", "attempt_4/2"}


def test_one_rank_leaves_what_others_have_written(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path), redirects=Std.OUT)
    files = [Path(specs.reify_rank(rank, attempt(0)).stdouts[rank]) for rank in (0, 1)]
    for file in files:
        file.write_text("old")
    specs.reify_rank(0, attempt(0))
    assert [file.exists() for file in files] == [False, True]


def test_one_rank_without_files() -> None:
    dest = DefaultLogsSpecs(os.devnull, tee=Std.ALL).reify_rank(3, attempt(1))
    assert dest == LogsDest({3: ""}, {3: ""}, error_files={3: os.devnull})


@pytest.mark.parametrize("rank", [None, 1])
def test_old_attempts_are_removed(rank: int | None, tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path), keep_attempts=2)
    bystander = Path(specs.reify_rank(0, attempt(0)).error_files[0]) if rank else None
    for number in range(5):
        if rank is None:
            specs.reify({0: attempt(number)})
        else:
            specs.reify_rank(rank, attempt(number))
    (run,) = tmp_path.iterdir()
    kept = {"attempt_3", "attempt_4"} | ({"attempt_0"} if rank else set())
    assert {path.name for path in run.iterdir()} == kept
    assert bystander is None or bystander.parent.is_dir()


@pytest.mark.parametrize("count", ["", "x", "-1", "1.5"])
def test_an_attempt_without_a_number_removes_nothing(count: str, tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path), keep_attempts=1)
    specs.reify({0: attempt(0)})
    specs.reify({0: {"TORCHELASTIC_RESTART_COUNT": count}})
    assert len(list(next(tmp_path.iterdir()).iterdir())) == 2


def test_all_attempts_can_be_kept(tmp_path: Path) -> None:
    for keep, kept in ((None, 103), (100, 100)):
        directory = tmp_path / str(keep)
        specs = DefaultLogsSpecs(str(directory), keep_attempts=keep)
        for number in range(103):
            specs.reify({0: attempt(number)})
        assert len(list(next(directory.iterdir()).iterdir())) == kept
    with pytest.raises(ValueError, match="keep_attempts: expected 1 or more, or None, got 0"):
        DefaultLogsSpecs(keep_attempts=0)


def test_two_runs_never_share_a_directory(tmp_path: Path) -> None:
    runs = {run_dir(DefaultLogsSpecs(str(tmp_path)).reify(envs())) for _ in range(5)}
    assert len(runs) == 5


def test_t8_the_callers_environments_are_not_touched(tmp_path: Path) -> None:
    given = envs(TORCHELASTIC_RUN_ID="job")
    DefaultLogsSpecs(str(tmp_path)).reify(given)
    assert given == envs(TORCHELASTIC_RUN_ID="job")


# Where


def test_a_relative_log_directory_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    specs = DefaultLogsSpecs("logs")
    monkeypatch.chdir("/")
    assert specs.root_log_dir == str(tmp_path / "logs")
    assert Path(specs.reify(envs()).error_files[0]).is_relative_to(tmp_path / "logs")


def test_a_log_directory_below_a_file_is_refused_when_it_is_made(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path / "file" / "logs"))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        specs.reify(envs())


def test_a_log_directory_may_be_a_link_but_not_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    DefaultLogsSpecs(str(tmp_path / "link" / "logs")).reify(envs())
    assert (tmp_path / "there" / "logs").is_dir()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        DefaultLogsSpecs(str(tmp_path / "dangling")).reify(envs())


def test_a_log_directory_may_be_a_path(tmp_path: Path) -> None:
    assert DefaultLogsSpecs(tmp_path).root_log_dir == str(tmp_path)  # type: ignore[arg-type]


def make_file(path: Path) -> None:
    path.touch()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [make_file, make_fifo])
def test_a_log_directory_that_is_a_file_is_refused(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match=r"log_dir: .*/file is a file"):
        DefaultLogsSpecs(str(tmp_path / "file"))


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.parametrize("log_dir", [None, ""])
def test_without_one_there_is_a_temporary_one(log_dir: str | None, temporary: Path) -> None:
    specs = DefaultLogsSpecs(log_dir)
    specs.reify(envs())
    root = Path(specs.root_log_dir)
    assert root.parent == temporary
    assert root.name.startswith("aelastic_")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_every_temporary_one_is_new(temporary: Path) -> None:
    assert len({DefaultLogsSpecs().root_log_dir for _ in range(5)}) == 5


# What goes where


@pytest.mark.parametrize("redirects", [Std.NONE, Std.OUT, Std.ERR, Std.ALL])
@pytest.mark.parametrize("tee", [Std.NONE, Std.OUT, Std.ERR, Std.ALL])
def test_a_stream_has_a_file_when_it_is_redirected_or_teed(redirects: Std, tee: Std, tmp_path: Path) -> None:
    dest = DefaultLogsSpecs(str(tmp_path), redirects=redirects, tee=tee).reify(envs(1))
    assert bool(dest.stdouts[0]) == (Std.OUT in redirects | tee)
    assert bool(dest.stderrs[0]) == (Std.ERR in redirects | tee)
    assert dest.tee_stdouts == ({0: dest.stdouts[0]} if Std.OUT in tee else {})
    assert dest.tee_stderrs == ({0: dest.stderrs[0]} if Std.ERR in tee else {})


def test_the_streams_can_be_chosen_by_rank(tmp_path: Path) -> None:
    dest = DefaultLogsSpecs(str(tmp_path), redirects={1: Std.OUT}, tee={2: Std.ERR}).reify(envs(3))
    assert [rank for rank in range(3) if dest.stdouts[rank]] == [1]
    assert [rank for rank in range(3) if dest.stderrs[rank]] == [2]
    assert list(dest.tee_stderrs) == [2]


def test_ranks_outside_the_filter_are_kept_off_the_console(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(
        str(tmp_path), redirects={1: Std.ERR}, tee={0: Std.OUT, 1: Std.OUT}, local_ranks_filter={0}
    )
    dest = specs.reify(envs(3))
    assert list(dest.tee_stdouts) == [0]
    assert dest.stdouts[1].endswith("1/stdout.log")
    assert dest.stderrs[1].endswith("1/stderr.log")
    assert (dest.stdouts[2], dest.stderrs[2]) == (os.devnull, os.devnull)
    assert dest.stderrs[0] == ""


@pytest.mark.parametrize("everybody", [None, set(), {0, 1, 2}])
def test_a_filter_may_let_everybody_through(everybody: set[int] | None, tmp_path: Path) -> None:
    dest = DefaultLogsSpecs(str(tmp_path), tee=Std.OUT, local_ranks_filter=everybody).reify(envs(3))
    assert list(dest.tee_stdouts) == [0, 1, 2]
    assert dest.stderrs == {0: "", 1: "", 2: ""}


@pytest.mark.parametrize("devnull", [os.devnull, "/dev//null", "/dev/../dev/null"])
def test_no_files_at_all(devnull: str) -> None:
    specs = DefaultLogsSpecs(devnull, redirects=Std.ALL, tee=Std.ALL)
    nowhere = {0: os.devnull, 1: os.devnull}
    assert specs.reify(envs()) == LogsDest({0: "", 1: ""}, {0: "", 1: ""}, {}, {}, nowhere)
    assert specs.root_log_dir == os.devnull


def test_no_files_and_a_filter() -> None:
    dest = DefaultLogsSpecs(os.devnull, local_ranks_filter={1}).reify(envs())
    assert dest.stdouts == dest.stderrs == {0: os.devnull, 1: ""}


def test_no_ranks(tmp_path: Path) -> None:
    dest = DefaultLogsSpecs(str(tmp_path)).reify({})
    assert all(getattr(dest, table) == {} for table in TABLES)


# The end


def release(specs: DefaultLogsSpecs) -> None:
    """All of it, as far as nobody waits for, too."""
    if (rest := specs.release()) is not None:
        rest()


def test_an_unused_temporary_directory_is_removed(temporary: Path) -> None:
    specs = DefaultLogsSpecs()
    specs.reify(envs())
    release(specs)
    assert os.listdir(temporary) == []


def test_what_was_written_to_a_temporary_directory_stays(temporary: Path) -> None:
    specs = DefaultLogsSpecs()
    dest = specs.reify(envs())
    Path(dest.error_files[1]).write_text("{}")
    release(specs)
    assert tree(run_dir(dest)) == {"attempt_0", "attempt_0/1", "attempt_0/1/error.json"}


@pytest.mark.usefixtures("usual_umask")
def test_a_released_one_can_be_used_again(temporary: Path) -> None:
    specs = DefaultLogsSpecs()
    before = specs.reify(envs())
    rest = specs.release()
    assert specs.reify(envs()) == before
    assert rest is not None
    rest()  # may come late
    assert {stat.S_IMODE(path.stat().st_mode) for path in temporary.rglob("*")} == {0o700}


def test_a_log_directory_of_the_users_is_left_as_it_is(tmp_path: Path) -> None:
    specs = DefaultLogsSpecs(str(tmp_path))
    dest = specs.reify(envs())
    release(specs)
    assert Path(dest.error_files[0]).parent.is_dir()


def test_a_release_without_a_run_does_nothing(temporary: Path) -> None:
    release(DefaultLogsSpecs())
    release(DefaultLogsSpecs(os.devnull))
    assert os.listdir(temporary) == []


def test_a_release_does_not_follow_links(temporary: Path) -> None:
    outside = temporary / "outside"
    outside.mkdir()
    specs = DefaultLogsSpecs()
    dest = specs.reify(envs())
    (run_dir(dest) / "link").symlink_to(outside)
    release(specs)
    assert outside.is_dir()


# As values


def test_equal_options_are_equal(tmp_path: Path) -> None:
    assert DefaultLogsSpecs(str(tmp_path), Std.OUT) == DefaultLogsSpecs(f"{tmp_path}/", Std.OUT)


@pytest.mark.parametrize(
    "other", [{"redirects": Std.ERR}, {"tee": {0: Std.OUT}}, {"local_ranks_filter": {1}}, {"private": False}]
)
def test_other_options_are_not(other: dict[str, Any], tmp_path: Path) -> None:
    assert DefaultLogsSpecs(str(tmp_path)) != DefaultLogsSpecs(str(tmp_path), **other)
    assert DefaultLogsSpecs(str(tmp_path)) != DefaultLogsSpecs(str(tmp_path / "x"))
    assert DefaultLogsSpecs(str(tmp_path)) != "specs"


def test_it_says_what_it_is(tmp_path: Path) -> None:
    text = repr(DefaultLogsSpecs(str(tmp_path), local_ranks_filter={3}))
    assert str(tmp_path) in text
    assert "local_ranks_filter={3}" in text


def test_specs_of_ones_own_need_two_methods(tmp_path: Path) -> None:
    class Mine(LogsSpecs):
        def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
            return LogsDest()

        @property
        def root_log_dir(self) -> str:
            return str(tmp_path)

    Mine().release()
    assert Mine(log_dir="x", redirects=Std.OUT, tee=Std.OUT, local_ranks_filter={0}).reify({}) == LogsDest()


# Torch gives the same, relative to the directory of the run


def below_the_run(dest: Any) -> dict[str, Any]:
    run = str(run_dir(dest))

    def short(path: str) -> str:
        return path.replace(run, "<run>")

    tables = {table: {rank: short(path) for rank, path in getattr(dest, table).items()} for table in TABLES}
    return {**tables, "filtered": [short(dest.filtered_stdout), short(dest.filtered_stderr)]}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"redirects": 3},
        {"redirects": 1, "tee": 2},
        {"tee": {1: 3}},
        {"redirects": {0: 1}, "tee": {1: 2}, "local_ranks_filter": {0}},
        {"tee": 3, "local_ranks_filter": {1, 2}},
        {"local_ranks_filter": {2}},
        {"local_ranks_filter": set()},
    ],
    ids=str,
)
@pytest.mark.parametrize("env", [{}, {"TORCHELASTIC_RUN_ID": "job", "TORCHELASTIC_RESTART_COUNT": "2"}], ids=str)
def test_torch_gives_the_same(options: dict[str, Any], env: dict[str, str], tmp_path: Path, torch_mp: Any) -> None:
    def options_with(std: Any) -> dict[str, Any]:
        def converted(value: Any) -> Any:
            return {rank: std(one) for rank, one in value.items()} if isinstance(value, dict) else std(value)

        return {key: value if "filter" in key else converted(value) for key, value in options.items()}

    ours = DefaultLogsSpecs(str(tmp_path / "ours"), **options_with(Std)).reify(envs(3, **env))
    theirs = torch_mp.DefaultLogsSpecs(str(tmp_path / "theirs"), **options_with(torch_mp.Std)).reify(envs(3, **env))
    assert below_the_run(ours) == below_the_run(theirs)
    assert tree(run_dir(ours)) == tree(run_dir(theirs))


@pytest.mark.parametrize("name", ["LogsDest", "LogsSpecs", "DefaultLogsSpecs"])
def test_the_parameters_are_torchs(name: str, torch_mp: Any) -> None:
    ours = {"LogsDest": LogsDest, "LogsSpecs": LogsSpecs, "DefaultLogsSpecs": DefaultLogsSpecs}[name]
    theirs = getattr(torch_mp, name, None) or getattr(torch_mp.api, name)
    shared = [one.name for one in inspect.signature(ours).parameters.values() if one.kind is not one.KEYWORD_ONLY]
    assert shared == list(inspect.signature(theirs).parameters)
