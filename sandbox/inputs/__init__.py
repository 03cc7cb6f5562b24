"""Choose probe inputs: calls on which right and wrong candidates behave differently."""

from sandbox.inputs.propose import ProbeSet, propose

__all__ = ["ProbeSet", "propose"]
