"""The one console script, `ucoder`. Commands come from entry points that each room registers.

So no package imports upward to be found, and a command whose room lacks its extra (torch, say) costs the
others nothing.
"""

from __future__ import annotations

from importlib.metadata import entry_points, version

import click

GROUP = "ucoder.commands"


class RegisteredCommands(click.Group):
    """A click group whose commands are the entry points of `GROUP`, imported only when asked for."""

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
    """A private coding assistant that runs its candidates and trusts what most of them agree on.

    Everything runs on this machine. Start with `ucoder sandbox doctor`, then point your editor at
    `ucoder serve`.
    """
