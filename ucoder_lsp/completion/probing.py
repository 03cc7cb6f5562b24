"""The probe inputs and the limits of one completion request."""

from __future__ import annotations

import time
from dataclasses import replace

from sandbox.consensus.rules.joint import Joint
from sandbox.inputs import ProbeSet, propose
from sandbox.limits import Limits
from ucoder_lsp.completion.context import CompletionContext
from ucoder_lsp.completion.document_slice import stub

REQUEST_LIMITS = Limits(probe_wall_s=0.25, job_wall_s=1.0, cpu_s=2)
"""Short limits, because a user waits: a candidate that takes longer on a small input is useless here."""

REQUEST_RULE = Joint(least_confidence=0.6)
"""Consensus is claimed from this confidence on; below it the best candidate is offered as a guess. Of 165 hard stub
tasks on Qwen2.5-Coder-0.5B, 65 % of what is claimed is right, and 33 % of what is chosen altogether
(docs/experiments/2026-12-01-confidence-on-a-code-model.md)."""


def request_inputs(source: str, function: str, budget: int) -> ProbeSet:
    """Propose up to `budget` inputs for `function` of a stub.

    Examples in the docstring count as votes. Remarks in its prose do not, because confidence was measured without them.
    """
    return replace(propose(source, function, budget=budget), asserts=())


class RequestInputs:
    """The probe inputs of one request.

    They are made on a thread while the model decodes.
    """

    def __init__(self, context: CompletionContext, budget: int) -> None:
        self._context = context
        self._budget = budget
        self.probe_set: ProbeSet | None = None
        """None until the inputs are made, and where no function can be called."""
        self.wall_s = 0.0

    @property
    def may_stop_early(self) -> bool:
        """Return True if a majority of equal texts may end decoding.

        Docstring examples could overrule it.
        """
        return self.probe_set is not None and not self.probe_set.constraints

    def make(self) -> None:
        """Make the inputs; this takes some milliseconds."""
        started = time.perf_counter()
        source = stub(self._context)
        if source and self._context.function is not None:
            self.probe_set = request_inputs(source, self._context.function, self._budget)
        self.wall_s = time.perf_counter() - started
