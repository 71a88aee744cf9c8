"""The guardian: a process that outlives this one by a moment, and takes the ranks with it."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
import signal
import sys
import weakref
from typing import TYPE_CHECKING

from aelastic.process.launch import Command, launch_by_popen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aelastic.process.watch import Process

logger = logging.getLogger("aelastic")

# Reads what to kill from a pipe that only we hold, and kills it when the pipe ends. What has left its process group is
# left to the aftermath, whose command line is in "$@". Every entry has a variable of its own, since taking one out of a
# list takes a shell the square of the list's length.
_SCRIPT = r"""
trap '' HUP INT QUIT TERM USR1 USR2 ALRM TSTP TTIN TTOU
cd /
set -f
names='' removed=0
keep() {
  kept=''
  for name in $names; do
    eval "entry=\$$name"
    [ "$entry" ] && kept="$kept $name"
  done
  names=$kept removed=0
}
while read -r sign name entry; do
  case $sign in
    +) eval "known=\$$name"
       [ "$known" ] || names="$names $name"
       eval "$name=\${entry:-$name}" ;;
    -) unset "$name"
       removed=$((removed + 1)) ;;
  esac
  [ $removed -lt 1000 ] || keep
done
keep
[ "$names" ] || exit
all=''
for name in $names; do
  eval "entry=\$$name"
  case $entry in g*) kill -s KILL -- "-${entry#g}" ;; esac
  all="$all $entry"
done
exec "$@" $all
"""
_MOST_DEATHS = 10
_SOON = 0.01  # seconds, in which no id is given away again: that takes as many processes as there are ids
_MOST_AT_ONCE = 2048  # bytes, and a line: what a pipe takes as a whole or not at all is 4096

_guardians: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Guardian] = weakref.WeakKeyDictionary()


class Guardian:
    """One for all runs of a loop, from the first one's start to the last one's end: see ``join``.

    A ``/bin/sh`` of 2 MB in a session of its own, that waits. Should it die, another one takes over.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, None] = {}
        self._users = 0
        self._deaths = 0
        self._write_end = -1
        self._unsaid = b""
        self._lent: set[int] = set()
        self._process: Process | None = None
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    def join(cls, clock: Callable[[], float]) -> Guardian:
        """The guardian of the running loop; ``leave`` it once. Raises ``OSError``."""
        loop = asyncio.get_running_loop()
        guardian = _guardians.get(loop)
        if guardian is None:
            _close_in_forks()
            guardian = cls(clock)
            guardian._start()
            _guardians[loop] = guardian
        guardian._users += 1
        return guardian

    def leave(self, entries: Iterable[str]) -> bool:
        """A run is over, and these of its entries are left; whether it was the last one, which ends the guardian."""
        for entry in entries:
            self._forget(entry)
        self._say()
        self._users -= 1
        if self._users:
            return False
        _guardians.pop(self._loop, None)
        if self._process is not None:
            self._process.family.signal(signal.SIGKILL)
        elif not self.gone.done():
            self.gone.set_result(None)
        return True

    @property
    def pid(self) -> int | None:
        """Of the process; None when there is none."""
        return self._process.pid if self._process else None

    def add(self, entry: str, *, soon: bool = False) -> None:
        """To be killed with us: ``entry`` as in the aftermath. ``soon``: it would be found anyway, if later."""
        self._entries[entry] = None
        if soon:
            self._say_soon()
        self._note(f"+ {_in_words(entry)}")
        if not soon:
            self._say()

    def remove(self, entry: str) -> None:
        """It is gone; its id may be somebody else's."""
        self._say_soon()
        self._forget(entry)

    def lend(self, *, to_server: bool) -> int | None:
        """A descriptor for a fork of ours, to write ``+ <entry>`` to before it does anything else; ``take_back`` ours.

        ``to_server``: it is sent to who makes the fork; other forks made meanwhile must not keep it.
        """
        if self._write_end < 0:
            return None
        descriptor = os.dup(self._write_end)
        if to_server:
            self._lent.add(descriptor)
        return descriptor

    def take_back(self, descriptor: int) -> None:
        """The fork has its own."""
        self._lent.discard(descriptor)
        os.close(descriptor)

    def forget(self) -> None:
        """In a fork of the application: whoever holds the pipe keeps the guardian waiting."""
        self._users = 0
        self._close_pipe()
        while self._lent:
            os.close(self._lent.pop())

    def _start(self) -> None:
        read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._tell_everything()  # so that it knows from its first moment; a pipe takes thousands of entries
        command = Command(("/bin/sh", "-c", _SCRIPT, "aelastic-guardian", *_aftermath()), {}, stdin=read_end)
        try:
            self._process = launch_by_popen(command, self._has_ended, self._clock)
        except FileNotFoundError:
            logger.warning("there is no /bin/sh to guard the ranks: they would outlive this process if it is killed")
        finally:
            os.close(read_end)
            if self._process is None:
                self._close_pipe()

    def _forget(self, entry: str) -> None:
        if self._entries.pop(entry, entry) is None:
            self._note(f"- {_name(entry)}")

    def _note(self, line: str) -> None:
        if len(self._unsaid) > _MOST_AT_ONCE:
            self._say()
        self._unsaid += f"{line}\n".encode()

    def _say_soon(self) -> None:
        if not self._unsaid:  # else it is said together
            self._loop.call_later(_SOON, self._say)

    def _say(self) -> None:
        words, self._unsaid = self._unsaid, b""
        if not words or self._write_end < 0:
            return
        try:
            os.write(self._write_end, words)
        except (BlockingIOError, BrokenPipeError):  # it is stopped, or dead: another one is told everything
            if self._process is not None:
                self._process.family.signal(signal.SIGKILL)

    def _has_ended(self, exitcode: int, at: float) -> None:
        self._process = None
        self._close_pipe()
        if self._users == 0:
            self.gone.set_result(None)
            return
        self._deaths += 1
        logger.warning("the guardian of the ranks has ended (%d)", exitcode)
        if self._deaths <= _MOST_DEATHS:
            self._take_over()

    def _take_over(self) -> None:
        try:
            self._start()
        except OSError as error:
            logger.error("no other guardian can be started: %s", error)
        self._tell_everything()

    def _tell_everything(self) -> None:
        self._unsaid = b""
        for entry in self._entries:
            self._note(f"+ {_in_words(entry)}")
        self._say()

    def _close_pipe(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def _in_words(entry: str) -> str:
    """``entry`` with its name, which says it all where it is the same."""
    name = _name(entry)
    return name if name == entry else f"{name} {entry}"


def _name(entry: str) -> str:
    """A shell's variable, another one for every entry: what is not in a name there does not tell entries apart."""
    return entry if entry.isalnum() else re.sub(r"\W", "_", entry, flags=re.ASCII)


def _aftermath() -> tuple[str, ...]:
    """A bare Python that needs nothing but our own source and the standard library."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lines = (
        f"import sys, time; sys.path.insert(0, {home!r})",
        "from aelastic.process.aftermath import clean_up",
        "clean_up(sys.argv[1:], time.monotonic)",
    )
    return sys.executable, "-I", "-S", "-c", "; ".join(lines)


@functools.cache
def _close_in_forks() -> None:
    os.register_at_fork(after_in_child=_forget_all)


def _forget_all() -> None:
    for guardian in list(_guardians.values()):
        guardian.forget()
