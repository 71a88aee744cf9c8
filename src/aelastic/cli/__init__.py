"""The ``aelastic`` command."""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``aelastic`` command."""
    from aelastic.cli.app import app

    app(prog_name="aelastic")
