"""Where the streams and the error files of the ranks go. Torch's classes and directory layout."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from aelastic.std import Std, to_map

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

logger = logging.getLogger("aelastic")


@dataclass
class LogsDest:
    """For each kind of log, the path by local rank. ``""`` is the console, ``os.devnull`` is nowhere."""

    stdouts: dict[int, str] = field(default_factory=dict)
    stderrs: dict[int, str] = field(default_factory=dict)
    tee_stdouts: dict[int, str] = field(default_factory=dict)
    tee_stderrs: dict[int, str] = field(default_factory=dict)
    error_files: dict[int, str] = field(default_factory=dict)
    filtered_stdout: str = ""
    filtered_stderr: str = ""


class LogsSpecs(ABC):
    """How the output of the ranks is handled; subclass it to choose the paths.

    Args:
        log_dir: base directory of the logs.
        redirects: streams that go to files, for every rank or by local rank.
        tee: streams that go to files and are shown on the console as well.
        local_ranks_filter: the ranks that may write to the console; None for all.
    """

    private: bool = True
    """Log files and error files that are made are open to their owner alone; False: the umask decides."""

    def __init__(
        self,
        log_dir: str | None = None,
        redirects: Std | Mapping[int, Std] = Std.NONE,
        tee: Std | Mapping[int, Std] = Std.NONE,
        local_ranks_filter: set[int] | None = None,
    ) -> None:
        self._root_log_dir = log_dir
        self._redirects = redirects
        self._tee = tee
        self._local_ranks_filter = local_ranks_filter

    @abstractmethod
    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """The destinations for ranks with these environments, made ready to be written to.

        What it adds to ``envs`` reaches the ranks. Called in a thread, once before each start.
        """

    @property
    @abstractmethod
    def root_log_dir(self) -> str:
        """The directory below which everything is written."""

    def release(self) -> Callable[[], None] | None:
        """The run is over: remove what nobody will look for. Called in a thread; does nothing by default.

        What it returns, if anything, is called in a thread as well; the result does not wait for that, closing the
        context does. Absent from torch's class.
        """
        return None


class DefaultLogsSpecs(LogsSpecs):
    """``<log_dir>/<run_id>_<random>/attempt_<n>/<rank>/{stdout.log,stderr.log,error.json}``.

    ``run_id`` and ``n`` come from ``TORCHELASTIC_RUN_ID`` (``none``) and ``TORCHELASTIC_RESTART_COUNT`` (``0``) of
    rank 0's environment. Without ``log_dir`` a temporary directory ``aelastic_<random>`` is used; of what was made
    there, empty directories are removed when the run is over. ``os.devnull`` as ``log_dir``: no files at all, the
    output stays on the console.

    Args:
        keep_attempts: of each rank, the directories of so many attempts are kept, the latest ones; None: of all.
        private: directories made here, log files and error files are open to their owner alone (0700 and 0600);
            False: the umask decides, as everywhere else. What exists already keeps its mode.

    Raises ``NotADirectoryError`` when ``log_dir`` is a file.
    """

    def __init__(
        self,
        log_dir: str | None = None,
        redirects: Std | Mapping[int, Std] = Std.NONE,
        tee: Std | Mapping[int, Std] = Std.NONE,
        local_ranks_filter: set[int] | None = None,
        *,
        keep_attempts: int | None = 100,
        private: bool = True,
    ) -> None:
        if keep_attempts is not None and keep_attempts < 1:
            raise ValueError(f"keep_attempts: expected 1 or more, or None, got {keep_attempts!r}")
        self._keep_attempts = keep_attempts
        self._kept_longer: dict[int, set[int]] = {}
        self._temporary = not log_dir
        if not log_dir:
            log_dir = os.path.join(tempfile.gettempdir(), f"aelastic_{secrets.token_hex(4)}")
        root = os.path.abspath(log_dir)
        if root != os.devnull and os.path.exists(root) and not os.path.isdir(root):
            raise NotADirectoryError(f"log_dir: {log_dir} is a file")
        super().__init__(root, redirects, tee, local_ranks_filter)
        self._run_log_dir: str | None = None
        self.private = private

    def __repr__(self) -> str:
        return (
            f"DefaultLogsSpecs(root_log_dir={self._root_log_dir}, redirects={self._redirects}, "
            f"tee={self._tee}, local_ranks_filter={self._local_ranks_filter}, private={self.private})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DefaultLogsSpecs) and self._key() == other._key()

    __hash__ = None  # type: ignore[assignment]  # as torch's: compared by value

    def _key(self) -> tuple[object, ...]:
        options = self._redirects, self._tee, self._local_ranks_filter, self._keep_attempts, self.private
        return self._root_log_dir, *options

    @property
    def root_log_dir(self) -> str:
        """``log_dir`` as an absolute path."""
        return str(self._root_log_dir)

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """Make the directories of the attempt and name the files in them. ``envs`` is not changed."""
        nprocs = len(envs)
        if self._root_log_dir == os.devnull:
            nothing = dict.fromkeys(range(nprocs), os.devnull)
            console = dict.fromkeys(range(nprocs), "")
            return self._filtered(LogsDest(dict(console), dict(console), error_files=nothing))
        attempt = self._attempt_dir(envs.get(0, {}))
        shutil.rmtree(attempt, ignore_errors=True)
        os.mkdir(attempt, self._mode)
        for old in self._one_too_many(envs.get(0, {})):
            shutil.rmtree(self._directory_of(old), ignore_errors=True)
        return self._dest({rank: os.path.join(attempt, str(rank)) for rank in range(nprocs)}, attempt)

    def reify_rank(self, rank: int, env: Mapping[str, str], running: Collection[int] = ()) -> LogsDest:
        """The same for one rank that a supervisor starts by itself; what others have written is left alone.

        The number of the attempt is in ``env``, the rank's own. Its filtered lines go into its own directory.
        ``running`` are attempts of the rank that are not over: theirs are kept until they are.
        """
        if self._root_log_dir == os.devnull:
            return self._filtered(LogsDest({rank: ""}, {rank: ""}, error_files={rank: os.devnull}))
        attempt = self._attempt_dir(env)
        self._make_dir(attempt)
        directory = os.path.join(attempt, str(rank))
        shutil.rmtree(directory, ignore_errors=True)
        self._forget_attempts_of(rank, env, running)
        return self._dest({rank: directory}, directory)

    def _dest(self, directories: Mapping[int, str], filtered: str) -> LogsDest:
        """The files of each rank in its directory, which is made, and those of filtered lines in ``filtered``."""
        dest = LogsDest(
            filtered_stdout=os.path.join(filtered, "filtered_stdout.log"),
            filtered_stderr=os.path.join(filtered, "filtered_stderr.log"),
        )
        nprocs = max(directories, default=-1) + 1
        redirects, tees = to_map(self._redirects, nprocs), to_map(self._tee, nprocs)
        for rank, directory in directories.items():
            self._add_rank(dest, rank, directory, redirects[rank], tees[rank])
        return self._filtered(dest)

    def release(self) -> Callable[[], None] | None:
        """Remove empty directories below a temporary ``log_dir``; whatever was written stays.

        A disk takes its time for many directories. Where nothing was written, they are put out of the way at once, and
        what is returned removes them.
        """
        if not self._temporary:
            return None
        unused = f"{self.root_log_dir}_{secrets.token_hex(4)}"
        if not _has_files(self.root_log_dir):
            with contextlib.suppress(OSError):
                os.rename(self.root_log_dir, unused)
                return partial(_remove_empty, unused)
        _remove_empty(self.root_log_dir)
        return None

    def _attempt_dir(self, env: Mapping[str, str]) -> str:
        """The directory of the attempt that ``env`` names, in that of the run, which is made."""
        run = self._run_log_dir or self._make_run_dir(_file_name(env.get("TORCHELASTIC_RUN_ID", "none")))
        self._make_dir(run)  # release() may have removed it
        return os.path.join(run, _attempt(env.get("TORCHELASTIC_RESTART_COUNT", "0")))

    def _one_too_many(self, env: Mapping[str, str]) -> set[int]:
        """The attempt that is to be forgotten as that in ``env`` begins, if there is one."""
        count = env.get("TORCHELASTIC_RESTART_COUNT", "0")
        if self._keep_attempts is None or not count.isdecimal() or int(count) < self._keep_attempts:
            return set()
        return {int(count) - self._keep_attempts}

    def _forget_attempts_of(self, rank: int, env: Mapping[str, str], running: Collection[int]) -> None:
        old = self._one_too_many(env) | self._kept_longer.pop(rank, set())
        if kept := old & set(running):
            self._kept_longer[rank] = kept
        for directory in map(self._directory_of, old - kept):
            shutil.rmtree(os.path.join(directory, str(rank)), ignore_errors=True)
            with contextlib.suppress(OSError):  # others have something there
                os.rmdir(directory)

    def _directory_of(self, attempt: int) -> str:
        return os.path.join(str(self._run_log_dir), _attempt(attempt))

    def _make_run_dir(self, run_id: str) -> str:
        self._make_dir(self.root_log_dir)
        while self._run_log_dir is None:
            path = os.path.join(self.root_log_dir, f"{run_id}_{secrets.token_hex(4)}")
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, self._mode)
                self._run_log_dir = path
        logger.info("log directory: %s", self._run_log_dir)
        return self._run_log_dir

    def _make_dir(self, path: str) -> None:
        """Make ``path`` and what is missing above it. (``os.makedirs`` leaves the modes of those to the umask.)"""
        if os.path.isdir(path):
            return
        self._make_dir(os.path.dirname(path))
        try:
            os.mkdir(path, self._mode)
        except FileExistsError:
            if not os.path.isdir(path):  # else another run has just made it
                raise

    @property
    def _mode(self) -> int:
        return 0o700 if self.private else 0o777

    def _add_rank(self, dest: LogsDest, rank: int, directory: str, redirects: Std, tee: Std) -> None:
        os.mkdir(directory, self._mode)
        tables = (
            (Std.OUT, "stdout.log", dest.stdouts, dest.tee_stdouts),
            (Std.ERR, "stderr.log", dest.stderrs, dest.tee_stderrs),
        )
        for stream, file, paths, tees in tables:
            paths[rank] = os.path.join(directory, file) if stream in redirects | tee else ""
            if stream in tee:
                tees[rank] = paths[rank]
        dest.error_files[rank] = os.path.join(directory, "error.json")

    def _filtered(self, dest: LogsDest) -> LogsDest:
        """Keep the ranks outside the filter off the console."""
        for rank in dest.stdouts if self._local_ranks_filter else ():
            if rank not in (self._local_ranks_filter or ()):
                dest.tee_stdouts.pop(rank, None)
                dest.tee_stderrs.pop(rank, None)
                dest.stdouts[rank] = dest.stdouts[rank] or os.devnull
                dest.stderrs[rank] = dest.stderrs[rank] or os.devnull
        return dest


def release(specs: LogsSpecs) -> Callable[[], object] | None:
    """Release ``specs``; what it leaves to be done. One that was written for torch has no such method."""
    method = getattr(specs, "release", None)
    rest = method() if method is not None else None
    return rest if callable(rest) else None


def _has_files(directory: str) -> bool:
    """Whether there is anything but directories."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        return any(not entry.is_dir(follow_symlinks=False) or _has_files(entry.path) for entry in entries)
    return False


def _remove_empty(directory: str) -> None:
    """Remove ``directory`` and those in it that have no files. Most have nothing at all, so that is tried first."""
    if _is_removed(directory):
        return
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for inner in [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]:
            _remove_empty(inner)
    _is_removed(directory)


def _is_removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except OSError:
        return False
    return True


def _attempt(count: object) -> str:
    return f"attempt_{_file_name(str(count))}"


def _file_name(text: str) -> str:
    """``text`` without leading to another directory."""
    return text.replace(os.sep, "_")
