"""A few chatty ranks in a web service, and a page that shows them.

    pip install 'aelastic[web]' fastapi uvicorn
    uvicorn --app-dir examples dashboard:app    # then open http://127.0.0.1:8000/ranks/

With ``DASHBOARD_TOKEN`` in the environment (16 characters or more), whoever knows it can stop and restart ranks.
"""

from __future__ import annotations

import os
import random
import tempfile
import time

from fastapi import FastAPI

import aelastic
import aelastic.web
from aelastic import rank

STEPS = 600


def train(pace: float) -> None:
    """Tell of each step, and stumble now and then."""
    rank.ready()
    dice = random.Random()
    loss = 2.5
    for step in range(STEPS):
        time.sleep(dice.uniform(0.5, 1.5) * pace)
        loss *= dice.uniform(0.985, 1.005)
        rank.progress(step + 1, STEPS)
        print(f"step {step + 1:4} loss {loss:.4f} lr {3e-4 * (1 - step / STEPS):.2e}", flush=True)
        if step % 50 == 49:
            rank.status(f"checkpoint at step {step + 1}")
        if dice.random() < 0.004:
            raise ArithmeticError(f"loss is NaN at step {step + 1}")


def workers() -> aelastic.Supervisor:
    """Six of them, each with a life of its own."""
    ranks = range(6)
    return aelastic.Supervisor(
        "trainer",
        train,
        args=dict.fromkeys(ranks, (0.2,)),
        envs={one: {} for one in ranks},
        logs_specs=aelastic.DefaultLogsSpecs(tempfile.mkdtemp(prefix="dashboard-"), redirects=aelastic.Std.ALL),
        strategy="one_for_one",
        restart=aelastic.RestartPolicy(max_restarts=None, backoff=2.0),
        readiness=aelastic.Notify(),
        shutdown_timeout=5,
    )


lifespan = aelastic.web.lifespan(workers)
app = FastAPI(lifespan=lifespan)
app.mount("/ranks", aelastic.web.dashboard(lifespan, token=os.environ.get("DASHBOARD_TOKEN")))
