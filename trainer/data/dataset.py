"""The data set: selected programs as answers to the prompts that the served model will get.

Each program is asked for in the two forms in which people ask: a sentence with one assert, and a stub to complete
(the templates of `ucoder eval`); and by a sentence once more where it can be called in another shape (`call_shapes`).
The asserted value comes from the behaviour that won, never from the model's own
asserts. Answers are short on purpose (no docstring, no comments, nothing after the block), so that the model learns
to stop: a good part of the first gain (docs/log.md).
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
from trainer.sampling.sampler import Chat, Sample, render
from trainer.stages.problems import Problem
from trainer.stages.selection import Selected


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: text to read, text to write."""

    function: str
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Control:
    """A sample that nobody selected: what fine-tuning without consensus would learn."""

    problem: Problem
    source: str
    asserts: tuple[str, ...]
    """What this very program does on one input."""


def sentence_prompt(problem: Problem, assertion: str, chat: Chat) -> str:
    """Asked as MBPP+ asks: a sentence and one assert."""
    return chat(render("solve_sentence", statement=f"{problem.task}\n{assertion}").text)


def stub_prompt(problem: Problem, assertion: str, chat: Chat) -> str:
    """Asked as HumanEval asks: a stub to complete."""
    return chat(render("solve_stub", statement=with_example(problem.stub, assertion)).text)


def served_prompts(problem: Problem, assertion: str, chat: Chat) -> tuple[str, str]:
    """The two forms in which people ask."""
    return sentence_prompt(problem, assertion, chat), stub_prompt(problem, assertion, chat)


def with_example(stub: str, assertion: str) -> str:
    """The stub with the assert as the example of its docstring, in place of those that the model made up.

    A problem is kept only where they come last (`problems.parse_problem`).
    """
    claim = ast.parse(assertion).body[0]
    assert isinstance(claim, ast.Assert)
    assert isinstance(claim.test, ast.Compare)
    call, value = ast.unparse(claim.test.left), ast.unparse(claim.test.comparators[0])
    text, _, _ = stub.partition("    >>> ")
    return f'{text}    >>> {call}\n    {value}\n    """'


def examples(problem: Problem, sources: Sequence[str], asserts: Sequence[str], chat: Chat) -> list[Example]:
    """Each program in both forms, and called differently; further programs of a problem show further asserts."""
    made = []
    for number, source in enumerate(sources):
        assertion = asserts[number % len(asserts)]
        sentence, stub = served_prompts(problem, assertion, chat)
        made.append(Example(problem.function, sentence, as_answer(source, typed=False)))
        made.append(Example(problem.function, stub, as_answer(source, typed=True)))
        variant = call_variant(source, assertion, problem.function)
        if variant is not None:
            program, shown = variant
            sentence = sentence_prompt(problem, shown, chat)
            made.append(Example(problem.function, sentence, as_answer(program, typed=False)))
    return made


def own_answer(function: str, prompt: str, answer: Sample) -> Example | None:
    """What the base answers when it is asked, as it wrote it; None where that holds no whole program."""
    written = as_written(answer.text, function) if answer.finished else None
    return None if written is None else Example(function, prompt, written)


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """The base's own answers, by what becomes of them."""

    learned: tuple[Example, ...] = ()
    """They do what consensus does (`data.own_answers`): their tokens are learned, as those of selected programs."""
    rehearsed: tuple[Example, ...] = ()
    """There the adapter stays near the base (`trainer.tuning.objective`)."""

    def drawn(self, n_learned: int, n_rehearsed: int, seed: int) -> OwnAnswers:
        """For the control arm: as many of both, drawn at random from all."""
        every = [*self.learned, *self.rehearsed]
        Random(seed).shuffle(every)  # noqa: S311  # no secret: a control group
        return OwnAnswers(tuple(every[:n_learned]), tuple(every[n_learned : n_learned + n_rehearsed]))


def split(selected: Sequence[Selected], share: float) -> tuple[list[Selected], list[Selected]]:
    """Problems to train on, and those held out for the gate; drawn by hash, not by order."""
    ranked = sorted(selected, key=lambda s: digest(s.problem.function))
    held = {s.problem.function for s in ranked[: round(share * len(ranked))]}
    return (
        [s for s in selected if s.problem.function not in held],
        [s for s in selected if s.problem.function in held],
    )


def unselected(pool: Sequence[Control], n: int, seed: int) -> list[Control]:
    """The control arm: n programs drawn at random from all samples that hold one, right or wrong."""
    return Random(seed).sample(pool, min(n, len(pool)))  # noqa: S311  # no secret: a control group


def as_answer(source: str, *, typed: bool) -> str:
    """A program as the answer of a chat: one code block, without docstring; `typed` keeps the annotations."""
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


def to_jsonl(rows: Iterable[Example]) -> str:
    """The data set as a file: one example a line, in order."""
    return "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def from_jsonl(text: str) -> list[Example]:
    """What `to_jsonl` wrote."""
    return [Example(**json.loads(line)) for line in text.splitlines()]


def sha256_of(text: str) -> str:
    """SHA-256 of a data set file: what a resumed run must reproduce."""
    return hashlib.sha256(text.encode()).hexdigest()
