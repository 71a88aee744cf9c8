"""17. Stop races restart: whatever comes when, no rank is there twice, and nothing starts after a stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

import aelastic
from aelastic.decide.restarts import Outcome, RestartPolicy
from tests.helpers.supervisors import one_for_one, watched_launches
from tests.helpers.worlds import World

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from aelastic.decide.supervision import Strategy

INTERLEAVINGS = 10_000
STEPS = 40

# 10 000 interleavings of stop, restart, replacement, exit and back-off, without processes and without a clock


class Chaos:
    """Lets anything happen in a world that can, in an order that ``chance`` chooses."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.strategy: Strategy = chance.choice(["one_for_all", "one_for_one", "rest_for_one"])
        self.endless = chance.random() < 0.5
        policy = RestartPolicy(
            when="always" if self.endless else chance.choice(["on_failure", "always", "never"]),
            max_restarts=None if self.endless else chance.randrange(4),
            period=chance.choice([None, 5.0]),
            backoff=chance.choice([0.0, 1.0]),
            retry_start=self.endless or chance.random() < 0.5,
        )
        units = 1 if self.strategy == "one_for_all" else chance.randint(1, 6)
        self.world = World(units, self.strategy, policy, chance.random)
        self.wanted = dict.fromkeys(range(units), True)  # by who asked last
        self.replaced = 0

    def step(self) -> None:
        """One thing happens."""
        if self.world.present and self.chance.random() < 0.5:
            self.something_moves()
        elif self.chance.random() < 0.4:
            self.world.wait(self.chance.choice([0.0, 0.5, 1.0, 30.0]))
        else:
            self.somebody_asks()

    def something_moves(self) -> None:
        """A process, that is."""
        life = self.chance.choice(list(self.world.present.values()))
        if not life.running and self.chance.random() < 0.6:
            self.world.complete(life)
        elif not life.told and self.chance.random() < 0.3:
            self.world.ready(life)
        elif life.told:
            self.world.end(life, self.chance.choice([Outcome.STOPPED, Outcome.FAILED, Outcome.SUCCEEDED]))
        elif life.running:
            self.world.end(life, self.chance.choice([Outcome.FAILED, Outcome.SUCCEEDED]))
        else:
            self.world.end(life, Outcome.NOT_STARTED)

    def somebody_asks(self) -> None:
        """For one unit to be replaced, to stop, start or restart, for another number of them, or for the end."""
        world, asked = self.world, self.world.supervision
        unit = self.chance.choice(asked.units)
        if self.chance.random() < 0.02:
            world.close(at_once=self.chance.random() < 0.5)
        elif self.strategy == "one_for_one" and self.chance.random() < 0.4:
            if asked.can_replace(unit):
                world.replace(unit)
                self.replaced += 1
        elif self.strategy != "one_for_one" or self.chance.random() < 0.4:
            world.perform(asked.restart_asked(unit, world.now))
            self.wanted[unit] = True
        elif self.chance.random() < 0.4:
            world.perform(asked.stop_asked(unit, world.now))
            self.wanted[unit] = False
        elif self.chance.random() < 0.6:
            world.perform(asked.start_asked(unit, world.now))
            self.wanted[unit] = True
        else:
            self.scale(self.chance.randint(1, 6))

    def scale(self, count: int) -> None:
        """Other units, or none of some."""
        known = self.world.supervision.units
        self.world.perform(self.world.supervision.scale_asked(count, self.world.now))
        self.wanted |= dict.fromkeys(set(range(count)) - set(known), True)
        self.wanted |= dict.fromkeys(set(known) - set(range(count)), False)

    def settle(self) -> None:
        """Nobody asks for anything more, nobody fails, and whoever is to take a place is ready for it."""
        world = self.world
        while not world.finished and not self.is_settled():
            for life in list(world.present.values()):
                if life.told:
                    world.end(life, Outcome.STOPPED)
                elif life.heir:
                    world.ready(life)
                elif not life.running:
                    world.complete(life)
            if world.supervision.next_deadline is not None:
                world.wait_until_due()

    def is_settled(self) -> bool:
        """Nothing is on its way."""
        asked = self.world.supervision
        replaced = all(asked.is_replaced(life.unit) for life in self.world.present.values())
        return replaced and asked.all_settled and asked.next_deadline is None

    def check(self) -> None:
        """What was last asked for is the case."""
        world = self.world
        if world.closed or world.gave_up:
            assert world.finished
            assert not world.present
            return
        running = [life.unit for life in world.present.values() if life.running and not life.told]
        assert len(set(running)) == len(running) == len(world.present)
        assert not [unit for unit in running if not self.wanted[unit]]
        if self.endless:
            assert set(running) == {unit for unit, wanted in self.wanted.items() if wanted}


def test_ten_thousand_interleavings() -> None:
    seen = {"finished": 0, "restarted": 0, "gave up": 0, "closed": 0, "replaced": 0}
    for seed in range(INTERLEAVINGS):
        chaos = Chaos(random.Random(seed))
        try:
            for _ in range(STEPS):
                if not chaos.world.finished:
                    chaos.step()
            chaos.settle()
            chaos.check()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        seen["finished"] += chaos.world.finished
        seen["restarted"] += bool(chaos.world.restarts)
        seen["gave up"] += bool(chaos.world.gave_up)
        seen["closed"] += chaos.world.closed
        seen["replaced"] += chaos.replaced
    assert all(count > INTERLEAVINGS / 50 for count in seen.values()), f"too little has happened: {seen}"


# The same with processes: requests at any moment, whatever the ranks are doing then

TIMES = 300 if os.environ.get("AELASTIC_TEST_FULL") else 12
RANKS = 3

# A rank holds a lock as long as it lives: another one of the same number would say so. Where ranks are replaced there
# is one lock more, for who is to take over, or has handed over.
HOLDS_A_LOCK = 'exec 9> "$LOCKS/$RANK"; flock -n 9 || echo "rank $RANK is there twice" >> "$LOCKS/twice"; '
HOLDS_ONE_OF_TWO = 'exec 8> "$LOCKS/$RANK-beside"; flock -n 8 || { ' + HOLDS_A_LOCK + "}; "


class Storm:
    """Asks a supervisor for this and that, in an order and at moments that ``chance`` chooses."""

    def __init__(self, chance: random.Random, directory: Path) -> None:
        self.chance = chance
        self.restless = chance.random() < 0.5  # the ranks do not live long
        self.replacing = chance.random() < 0.5
        self.directory = directory
        script = (HOLDS_ONE_OF_TWO if self.replacing else HOLDS_A_LOCK) + (
            "exec sleep 0.01" if self.restless else "exec sleep 600"
        )
        envs = {rank: {"RANK": str(rank), "LOCKS": str(directory)} for rank in range(RANKS)}
        backoff = chance.choice([0.0, 0.005])
        policy = RestartPolicy("always", max_restarts=None, backoff=backoff, max_backoff=0.02)
        self.supervisor = one_for_one(*[script] * RANKS, envs=envs, restart=policy)
        self.wanted = dict.fromkeys(range(RANKS), True)

    async def rage(self) -> None:
        """Ask, sometimes before what was asked for before has come true."""
        requests = []
        for _ in range(self.chance.randint(1, 12)):
            requests.append(asyncio.create_task(self.request()))
            for _ in range(self.chance.choice([0, 1, 2, 10])):
                await asyncio.sleep(0)
            await asyncio.sleep(self.chance.choice([0, 0, 0.003, 0.02]))
        await asyncio.gather(*requests)

    def request(self) -> Coroutine[Any, Any, object]:
        """One of them."""
        rank, kind = self.chance.randrange(RANKS), self.chance.choice(["restart", "stop", "start"])
        if self.replacing and self.chance.random() < 0.5:
            return self.replace(rank)
        self.wanted[rank] = kind != "stop"
        if kind == "stop":
            return self.supervisor.stop(rank)
        return self.supervisor.restart(rank) if kind == "restart" else self.supervisor.start(rank)

    async def replace(self, rank: int) -> None:
        """If it runs, and if nobody wants something else."""
        with contextlib.suppress(aelastic.NotReadyError, aelastic.NotRunningError):
            await self.supervisor.replace(rank)

    def check(self) -> None:
        """The state is what was last asked for."""
        seen = {rank: one.state for rank, one in self.supervisor.snapshot().items()}
        stopped = {rank for rank, wanted in self.wanted.items() if not wanted}
        assert {rank for rank in stopped if seen[rank] is not aelastic.RankState.EXITED} == set()
        if not self.restless:
            assert {rank for rank, state in seen.items() if state is aelastic.RankState.RUNNING} == {*seen} - stopped


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_requests_race_with_ends_and_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launches = watched_launches(monkeypatch)
    for seed in range(TIMES):
        locks = tmp_path / str(seed)
        locks.mkdir()
        storm = Storm(random.Random(seed), locks)
        events = storm.supervisor.events()
        async with storm.supervisor as supervisor:
            await storm.rage()
            storm.check()
            raging = [asyncio.create_task(storm.request()) for _ in range(3)]
            await asyncio.sleep(storm.chance.choice([0, 0.002]))
            closing = asyncio.create_task(supervisor.close())
            await asyncio.sleep(0)
            closed_at = time.monotonic()
            await asyncio.gather(closing, *raging, return_exceptions=True)
        assert not (locks / "twice").exists(), f"seed {seed}"
        told = [event async for event in events]
        assert not [at for at in launches if at > closed_at], f"seed {seed}"
        for rank in range(RANKS):
            ends = [one for one in told if isinstance(one, aelastic.RankStarted | aelastic.RankExited)]
            own = [one for one in ends if one.rank == rank]
            if not storm.replacing:
                kinds = [type(one) for one in own]
                assert kinds == [aelastic.RankStarted, aelastic.RankExited] * (len(kinds) // 2), f"seed {seed}"
            for attempt in {one.attempt for one in own}:
                kinds = [type(one) for one in own if one.attempt == attempt]
                assert kinds == [aelastic.RankStarted, aelastic.RankExited], f"seed {seed}"
