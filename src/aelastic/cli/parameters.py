"""An option of ``aelastic run``, and the command's help."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

_V = TypeVar("_V")


class Flag(click.Option):
    """An option in a section of the help; its default may be in the environment.

    Args:
        names: as on the command line.
        section: of the help; empty for none.
        parse: from the text to the value; its ``ValueError`` becomes the user's.
        envvar: names of variables; None for torchrun's, ``PET_`` and the longest name.
        attributes: click's own.
    """

    def __init__(
        self,
        *names: str,
        section: str = "",
        parse: Callable[[str], object] | None = None,
        envvar: tuple[str, ...] | None = None,
        **attributes: Any,
    ) -> None:
        if envvar is None:
            envvar = ("PET_" + max(names, key=len).lstrip("-").replace("-", "_").upper(),)
        if parse is not None:
            attributes["callback"] = _callback(parse)
        super().__init__(names, envvar=envvar, hidden=not section, **attributes)
        self.section = section

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """As torchrun has it, any number switches a flag: 0 off, all others on."""
        value = super().value_from_envvar(ctx)
        if self.is_bool_flag and isinstance(value, str) and value.strip().lstrip("+-").isdigit():
            return int(value) != 0
        return value

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Where the value was written: the option, or the variable."""
        if ctx is not None and self.name and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            return next(name for name in self.envvar or () if os.environ.get(name))
        return super().get_error_hint(ctx)


def _callback(parse: Callable[[str], _V]) -> Callable[[click.Context, click.Parameter, str | None], _V | None]:
    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> _V | None:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}.", ctx, param) from error

    return callback


class Choice(click.Choice[str]):
    """One of a few words, written out."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Not what the names of options go through."""
        return str(choice)


class SectionedCommand(click.Command):
    """A command whose options are shown by section, and may be shortened as long as it is clear which is meant."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.context_settings["token_normalize_func"] = self._full_name

    def _full_name(self, name: str) -> str:
        """``nproc_per_node`` and ``nproc`` are ``nproc-per-node``, as for torchrun; a name has no dashes in front."""
        name = name.replace("_", "-")
        known = {option.lstrip("-") for param in self.params for option in param.opts}
        meant = [one for one in known if one.startswith(name)]
        return meant[0] if len(meant) == 1 and len(name) > 1 and name not in known else name

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(param, "section", "Other"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
