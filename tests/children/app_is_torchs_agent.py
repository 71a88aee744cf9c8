"""torch's ``LocalElasticAgent`` on our contexts: ``LOOP WHAT DIR``; the loop is of no concern to it."""

import os
import signal
import sys
import time
from pathlib import Path

from aelastic.errors import record


@record
def work(what: str, directory: str) -> int:
    """A rank."""
    rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    Path(directory, f"rank-{rank}-attempt-{attempt}").touch()
    if rank == 1 and (what == "fails" or (what == "fails once" and attempt == 0)):
        raise ValueError(f"no luck in attempt {attempt}")
    if what in ("sleeps", "fails"):
        signal.signal(signal.SIGTERM, lambda *_: say_goodbye(directory, rank))
        print("sleeping", flush=True)
        while True:
            time.sleep(0.01)
    return rank * 10


def say_goodbye(directory: str, rank: int) -> None:
    """Leave a word."""
    Path(directory, f"goodbye-{rank}").touch()
    sys.exit(1)


def main() -> None:
    """What ``torchrun`` does, with one import replaced."""
    from torch.distributed.elastic.agent.server import local_elastic_agent
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    import aelastic.sync

    vars(local_elastic_agent)["start_processes"] = aelastic.sync.start_processes
    what, directory = sys.argv[2:]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="x",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=1,
        monitor_interval=0.05,
        start_method="spawn",
        logs_specs=DefaultLogsSpecs(log_dir=directory),
    )
    if what == "is a program":
        script = "import os; print('rank', os.environ['RANK'], 'of', os.environ['WORLD_SIZE'])"
        print("values", elastic_launch(config, sys.executable)("-c", script))
    else:
        print("values", elastic_launch(config, work)(what, directory))


if __name__ == "__main__":
    main()
