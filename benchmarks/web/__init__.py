"""A web service and its clients, for ``bench_web``."""
