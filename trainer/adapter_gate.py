"""The acceptance of an adapter.

An adapter is published only if it solves held-out self-made problems better than its base.

It needs neither a benchmark nor a person: the truth about a held-out problem is the behaviour that consensus selected,
and a sample is right when it gives the same values. Both models are sampled as they are served, with the same prompts
and seeds. How good the model is for people is measured by `ucoder eval`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.consensus.election import run_all
from sandbox.inputs import ProbeSet
from sandbox.outcome import JobResult, Status
from sandbox.pool import Sandbox
from trainer.evaluation.statistics import bootstrap_mean
from trainer.result import Acceptance
from trainer.run.store import Stage
from trainer.sampling.answers import end_of_answer, extract_function
from trainer.sampling.sampler import Draw, Prompt, Sampler
from trainer.stages import tests
from trainer.stages.context import SampleRequest, StageContext
from trainer.stages.selection import LIMITS, Selected
from trainer.stages.served_prompts import MAX_TOKENS, served_prompts

STAGE = Stage("gate")
TEMPERATURE = 0.8


def evaluate(context: StageContext, held: Sequence[Selected], adapted: Sampler) -> Acceptance:
    """Compare the adapter with its base, the context's model, on the held-out problems."""
    profile = context.profile
    draw = Draw(-(-profile.gate_samples // 2), MAX_TOKENS, TEMPERATURE, profile.seed)

    def share(sampler: Sampler, item: Selected) -> float:
        problem = item.problem
        end = end_of_answer(problem.function)
        answers = [
            sample.text
            for prompt in served_prompts(problem, item.asserts[0], sampler.chat)
            for sample in context.sample(STAGE, SampleRequest(Prompt(prompt), draw, end), sampler)
        ]
        inputs = tests.probes_for(problem, tests.blocks(context, problem), profile)
        return share_right(item, inputs, answers, context.sandbox)

    base = context.each(f"{STAGE.name}, base", held, lambda item: share(context.sampler, item))
    adapter = context.each(f"{STAGE.name}, adapter", held, lambda item: share(adapted, item))
    return compare(base, adapter)


def compare(base: Sequence[float], adapter: Sequence[float]) -> Acceptance:
    """Compare shares of right samples, one per held-out problem in both."""
    gains = [a - b for a, b in zip(adapter, base, strict=True)]
    return Acceptance(bootstrap_mean(base), bootstrap_mean(adapter), bootstrap_mean(gains), len(gains))


def share_right(selected: Selected, inputs: ProbeSet, answers: Sequence[str], sandbox: Sandbox) -> float:
    """Return the share of the answers that behave like the selected program."""
    programs = [extract_function(answer, selected.problem.function) for answer in answers]
    truth, *results = run_all([selected.sources[0], *programs], inputs.probes, sandbox=sandbox, limits=LIMITS)
    assert truth is not None, "a selected program is a program"
    return sum(result is not None and agrees(truth, result) for result in results) / len(programs)


def agrees(truth: JobResult, result: JobResult) -> bool:
    """Return True if a program gives the values of the selected one."""
    pairs = [(t, r) for t, r in zip(truth.outcomes, result.outcomes, strict=True) if t.status is Status.OK]
    return bool(pairs) and all(r.status is Status.OK and r.value == t.value for t, r in pairs)
