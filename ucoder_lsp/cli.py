"""The console script `ucoder`. Its commands are entry points.

Every package registers its own commands, so no package imports upward. A package without its extra (torch, for
example) breaks only its own commands.
"""

from __future__ import annotations

from importlib.metadata import entry_points, version

import click

GROUP = "ucoder.commands"


class RegisteredCommands(click.Group):
    """A click group whose commands are the entry points of `GROUP`.

    Each command is imported when it is used.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry_points(group=GROUP).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group=GROUP, name=cmd_name):
            command = entry.load()
            assert isinstance(command, click.Command), f"{entry.value} is not a click command"
            return command
        return None


@click.group(cls=RegisteredCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("ucoder"), prog_name="ucoder")
def main() -> None:
    """A private coding assistant that runs its candidates before choosing one.

    It samples several candidates, runs them in a sandbox, and offers one with the behaviour that most of
    them share. Everything runs on this machine.

    Check the sandbox first: `ucoder sandbox doctor`. Then let your editor start `ucoder serve`.
    """
