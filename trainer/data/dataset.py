"""The data set of selected programs.

They are the answers to the prompts that the served model will get.

Each program answers both served prompts (`trainer.stages.served_prompts`), and the sentence once more where it can be
called in another shape (`call_shapes`). Answers are short on purpose (no docstring, no comments, nothing after the
block), so that the model learns to stop: docs/decisions.md, "Answers are trained to be short".
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random

from sandbox.inputs.target import parse_quietly
from trainer.data.call_shapes import call_variant
from trainer.run.store import digest
from trainer.sampling.answers import as_written
from trainer.sampling.sampler import Chat, Sample
from trainer.stages.problems import Problem
from trainer.stages.selection import Examined, Selected
from trainer.stages.served_prompts import sentence_prompt, served_prompts
from trainer.stages.solutions import Candidates


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One training example: a prompt and its completion."""

    function: str
    """The function of its problem."""
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Control:
    """An unselected sample: what fine-tuning without consensus would learn."""

    problem: Problem
    source: str
    asserts: tuple[str, ...]
    """What this very program does on one input."""


def control_pool(candidates: Sequence[Candidates], examined: Sequence[Examined]) -> list[Control]:
    """Return every sample that returns a value on some input, of all problems."""
    return [
        Control(one.problem, solution.source, own)
        for one, found in zip(candidates, examined, strict=True)
        for solution, own in zip(one.solutions, found.own_asserts, strict=True)
        if solution.source is not None and own
    ]


def examples(
    problem: Problem, sources: Sequence[str], asserts: Sequence[str], chat: Chat
) -> list[TrainingExample]:
    """Make examples of each program: both served prompts, and another call shape.

    Each program of a problem shows another assert.
    """
    made = []
    for number, source in enumerate(sources):
        assertion = asserts[number % len(asserts)]
        sentence, stub = served_prompts(problem, assertion, chat)
        made.append(TrainingExample(problem.function, sentence, as_answer(source, typed=False)))
        made.append(TrainingExample(problem.function, stub, as_answer(source, typed=True)))
        variant = call_variant(source, assertion, problem.function)
        if variant is not None:
            program, shown = variant
            sentence = sentence_prompt(problem, shown, chat)
            made.append(TrainingExample(problem.function, sentence, as_answer(program, typed=False)))
    return made


def own_answer(function: str, prompt: str, answer: Sample) -> TrainingExample | None:
    """Make an example of the base's answer, as it wrote it.

    Returns None where that does not hold a whole program.
    """
    written = as_written(answer.text, function) if answer.finished else None
    return None if written is None else TrainingExample(function, prompt, written)


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """The base's own answers, by their use in the training."""

    learned: tuple[TrainingExample, ...] = ()
    """They behave as consensus does (`data.own_answers`): learned like selected programs."""
    rehearsed: tuple[TrainingExample, ...] = ()
    """The adapter stays near the base there (`trainer.tuning.objective`)."""

    def drawn(self, n_learned: int, n_rehearsed: int, seed: int) -> OwnAnswers:
        """Draw as many of both at random from all, for the control arm."""
        every = [*self.learned, *self.rehearsed]
        Random(seed).shuffle(every)  # noqa: S311  # not a secret: a control group
        return OwnAnswers(tuple(every[:n_learned]), tuple(every[n_learned : n_learned + n_rehearsed]))


def split(selected: Sequence[Selected], share: float) -> tuple[list[Selected], list[Selected]]:
    """Hold out a share of the problems for the acceptance, drawn by hash; return both parts."""
    ranked = sorted(selected, key=lambda s: digest(s.problem.function))
    held = {s.problem.function for s in ranked[: round(share * len(ranked))]}
    return (
        [s for s in selected if s.problem.function not in held],
        [s for s in selected if s.problem.function in held],
    )


def unselected(pool: Sequence[Control], n: int, seed: int) -> list[Control]:
    """Draw n programs at random from the pool, right or wrong."""
    return Random(seed).sample(pool, min(n, len(pool)))  # noqa: S311  # not a secret: a control group


def as_answer(source: str, *, typed: bool) -> str:
    """Write a program as a chat answer.

    It is one code block without docstring; `typed` keeps the annotations.
    """
    tree = parse_quietly(source)
    assert tree is not None, "a selected program parses"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1:
                del node.body[0]
            if not typed:
                node.returns = None
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                    argument.annotation = None
    return f"```python\n{ast.unparse(tree)}\n```"


def to_jsonl(rows: Iterable[TrainingExample]) -> str:
    """Write the examples as a file: one per line, in order."""
    return "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def sha256_of(text: str) -> str:
    """Return the SHA-256 of a data set file.

    A resumed run reproduces it.
    """
    return hashlib.sha256(text.encode()).hexdigest()
