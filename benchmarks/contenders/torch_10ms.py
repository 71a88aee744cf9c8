"""torch's elastic multiprocessing, told to look a hundred times a second."""

from __future__ import annotations

from functools import partial

from benchmarks.contenders import torch_elastic

gang = partial(torch_elastic.gang, period=0.01)
function_ranks = partial(torch_elastic.function_ranks, period=0.01)
