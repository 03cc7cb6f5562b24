"""The console script `ucoder`. Every package registers its own commands as entry points.

No package imports upward to register a command, and a package without its extra (torch, say) breaks only its own
commands.
"""

from __future__ import annotations

from importlib.metadata import entry_points, version

import click

GROUP = "ucoder.commands"


class RegisteredCommands(click.Group):
    """A click group whose commands are the entry points of `GROUP`, imported when they are used."""

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
    """A private coding assistant that runs its candidates and trusts the behaviour most of them agree on.

    Everything runs on this machine. Start with `ucoder sandbox doctor`, then let your editor start
    `ucoder serve`.
    """
