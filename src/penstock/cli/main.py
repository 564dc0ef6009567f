"""The `penstock` command: finds the sub-command, imports only that one, and turns what it raises into exit codes.

Commands raise; nothing below decides about exit codes but `exit_codes.py`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from typing import Any

import click

from penstock.build import is_compiled
from penstock.cli.exit_codes import ExitCode, of_error
from penstock.errors import PenstockError
from penstock.names import did_you_mean
from penstock.standard_streams import fill_gaps
from penstock.terminal_text import visible_lines

COMMANDS = {
    "run": ("penstock.cli.run", "run"),
    "check": ("penstock.cli.check", "check"),
    "plan": ("penstock.cli.plan", "plan"),
    "status": ("penstock.cli.status", "status"),
    "checkpoints": ("penstock.cli.checkpoints", "checkpoints"),
    "dead-letters": ("penstock.cli.dead_letters", "dead_letters"),
    "checkpoint": ("penstock.cli.savepoint", "checkpoint"),
    "clean": ("penstock.cli.clean", "clean"),
    "demo": ("penstock.cli.demo", "demo"),
}
"""Name: module and attribute of the click command."""

_SIGPIPE_CODE = 141


class LazyGroup(click.Group):
    """Imports a sub-command when it is called, and is the boundary where errors become messages and codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except KeyboardInterrupt:  # click would exit with 1, which means something else here
            _say_interrupted()
            raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except PenstockError as exc:
            show_error(str(exc))
            ctx.exit(of_error(exc))
        except KeyboardInterrupt:
            _say_interrupted()
            ctx.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            _discard_stdout()
            ctx.exit(_SIGPIPE_CODE)
        except Exception:
            tell(visible_lines(traceback.format_exc()).rstrip())
            show_error("this is a bug in penstock; please report it with the lines above")
            ctx.exit(ExitCode.BUG)


def show_error(message: str) -> None:
    """Say on stderr why a command could not do its work."""
    tell(f"{click.style('error:', fg='red', bold=True)} {visible_lines(message)}")


def tell(text: str) -> None:
    """Say something on stderr; where that cannot be written, the exit code says how it went."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)


def _say_interrupted() -> None:
    tell("penstock: interrupted")


def _discard_stdout() -> None:
    """Whoever read stdout is gone: the interpreter's last flush must not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_VERSION = "%(prog)s, version %(version)s" + (", compiled" if is_compiled() else ", not compiled")


@click.command("penstock", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penstock", message=_VERSION)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Data pipelines that survive kill -9 anywhere."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


def main() -> None:
    """Run the command that `sys.argv` names (`__main__.py` calls this)."""
    fill_gaps()  # else a file of the program's would get the number of a stream that is closed
    cli(prog_name="penstock")
