"""Probe inputs: what to call a function with, so that right and wrong candidates show it."""

from sandbox.inputs.propose import ProbeSet, propose

__all__ = ["ProbeSet", "propose"]
