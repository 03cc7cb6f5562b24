"""The decision of `model = "auto"`: the largest model that answers in time on this machine.

A pure function of what was measured. What is on the machine is in `served`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LIMIT_S = 3.0
"""The longest time for a line of 12 tokens behind 128 new prompt tokens. After it, people have typed the line."""


@dataclass(frozen=True, slots=True)
class ServableModel:
    """A model on this machine, and what is known of its speed."""

    name: str
    parameters: int
    line_s: float | None = None
    """Predicted seconds for a line; None when it was not measured."""
    complete: bool = True
    """Whether every kind was tried, so that no faster one is left to find."""
    problem: str = ""
    """One sentence, if the model does not run here."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which models to try, and why."""

    order: tuple[str, ...]
    """Names, the chosen one first; the next one is served if it does not load."""
    reason: str
    """One or two sentences for the user."""


def choose(models: Sequence[ServableModel], limit_s: float = LIMIT_S) -> ModelChoice:
    """Choose the largest model that answers within the limit.

    Behind those in time, the largest first, come models without a measurement. Slower ones come last, the fastest of
    them first. A model that does not run here is left out.
    """
    runs = [model for model in models if not model.problem]
    in_time = [model for model in runs if model.line_s is not None and model.line_s <= limit_s]
    unknown = [model for model in runs if model.line_s is None]
    too_slow = [model for model in runs if model.line_s is not None and not model.line_s <= limit_s]
    order = [
        *sorted(in_time, key=lambda model: (-model.parameters, model.line_s)),
        *sorted(unknown, key=lambda model: -model.parameters),
        *sorted(too_slow, key=lambda model: model.line_s or 0.0),
    ]
    if not order:
        return ModelChoice((), " ".join(model.problem for model in models) or "There is no model here.")
    chosen = order[0]
    passed = [model for model in models if model.parameters > chosen.parameters]
    passed.sort(key=lambda model: model.parameters)
    reasons = [_why(chosen, len(models), limit_s), *(_why_not(model, limit_s) for model in passed)]
    return ModelChoice(tuple(model.name for model in order), " ".join(reasons))


def _why(model: ServableModel, n_models: int, limit_s: float) -> str:
    if n_models == 1:
        return f"{model.name} is the only model here."
    if model.line_s is None:
        return f"{model.name} is served."
    if model.line_s > limit_s:
        return (
            f"No model answers within {limit_s:g} s here; {model.name} is the fastest "
            f"({model.line_s:.1f} s for a line)."
        )
    return f"{model.name} is the largest model that answers in time here ({model.line_s:.1f} s for a line)."


def _why_not(model: ServableModel, limit_s: float) -> str:
    if model.problem:
        return f"{model.name} does not run here: {model.problem}"
    if model.line_s is None:
        return f"{model.name} was not measured yet: run `ucoder models measure {model.name}`."
    sentence = f"{model.name} would need {model.line_s:.1f} s for a line here, more than {limit_s:g} s"
    if model.complete:
        return f"{sentence}."
    return f"{sentence}; `ucoder models measure {model.name}` looks for a faster kind of it."
