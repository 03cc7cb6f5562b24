"""The pure parts of the loop: what the model wrote is read, or left out with a reason; never an exception."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from sandbox.inputs import propose
from sandbox.pool import Sandbox
from sandbox.program import Job, Program
from sandbox.rules import DEFAULT_RULE, RULES
from trainer import dataset, selection, stages
from trainer.acceptance import compare
from trainer.engines import Engines
from trainer.extract import end_of_block, extract_function
from trainer.loop import Loop
from trainer.problems import (
    OPENINGS,
    SHOT_SETS,
    UNSUITED,
    Problem,
    Rejected,
    distinct,
    distinct_tasks,
    exercises,
    overlaps,
    parse_problem,
    problem_prompt,
    read_task,
    shot_set,
    task_prompt,
    word_shingles,
)
from trainer.profile import PROFILES, Profile
from trainer.progress import Teller
from trainer.sampler import Draw, Prompt, Sample, Sampler
from trainer.selection import Dropped, Selected
from trainer.stages import Solution
from trainer.store import Store
from ucoder_lsp.engine.engine import Engine

TINY = replace(PROFILES["tiny"], min_cluster=2, min_confidence=0.0)
TASK = "Write a function to find the second largest number of a list."
TEXT = """ Sort it.

```python
def second_largest(numbers: list[int]) -> int:
    \"\"\"Find the second largest number of a list.

    >>> second_largest([4, 9, 7])
    8
    \"\"\"
```
"""


def problem() -> Problem:
    found = parse_problem(TASK, TEXT)
    assert isinstance(found, Problem)
    return found


def sample(text: str) -> Sample:
    return Sample(text, -0.5, True)


# --- problems -----------------------------------------------------------------------------------------------


def test_a_problem_is_read_from_a_continuation() -> None:
    found = problem()
    assert (found.title, found.function, found.hint) == ("Second largest", "second_largest", "Sort it.")
    assert found.task == TASK
    assert found.stub.startswith("def second_largest(")
    assert found.stub.endswith('"""')


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (" Sort it.", "", "laid out"),
        ("```\n", "", "laid out"),
        ("def second", "def def second", "parse"),
        ("numbers: list[int]", "numbers", "typed"),
        ("    >>> second_largest([4, 9, 7])\n    8\n", "", "example"),
        ("    8\n", "    8\n" + "    x\n" * 700, "too long"),
        ('"""\n```', '"""\n\nprint(1)\n```', "exactly one function"),
    ],
)
def test_what_is_no_problem_is_rejected_with_its_reason(old: str, new: str, reason: str) -> None:
    found = parse_problem(TASK, TEXT.replace(old, new))
    assert isinstance(found, Rejected)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        ("", "", True),
        ('"""Find', 'r"""Find', True),
        ('8\n    """', '8"""', True),
        ("    8\n", "    8\n\n    >>> second_largest([1, 2])\n    1\n", True),
        ('"""', "'''", False),
        ("\n    ", "\n  ", False),
        ("\n    ", "\n\t", False),
        (">>> second_largest([4, 9, 7])\n", "    >>> second_largest([4, 9, 7])\n    ", False),
        ("list.\n\n    >>>", "list. >>>", False),
        ("    >>> second_largest([4, 9, 7])\n    8", "    second_largest([4, 9, 7]) -> 8", False),
        ("    8\n", "    8\n\n    The list has two at least.\n", False),
        ('"""\n```', '"""  # done\n```', False),
    ],
    ids=[
        "asked",
        "raw",
        "closed",
        "two",
        "apostrophes",
        "narrow",
        "tab",
        "deep",
        "inline",
        "arrow",
        "text",
        "comment",
    ],
)
def test_a_docstring_is_kept_only_where_its_example_can_be_replaced(old: str, new: str, fits: bool) -> None:
    found = parse_problem(TASK, TEXT.replace(old, new) if old else TEXT)
    if not fits:
        assert isinstance(found, Rejected)
        assert "laid out with the example last" in found.reason
        return
    assert isinstance(found, Problem)
    stub = dataset.with_example(found.stub, "assert second_largest([5, 6]) == 5")
    head = found.stub.partition("    >>> ")[0]
    assert stub == f'{head}    >>> second_largest([5, 6])\n    5\n    """'


@given(
    st.lists(
        st.sampled_from(
            [
                '"""',
                "'''",
                '    """',
                "    ",
                "\n    ",
                "\n",
                "    >>> f(1)\n    1\n",
                "f(1) -> 1",
                ">>> f(1)",
                "\\",
                "x",
            ]
        ),
        max_size=12,
    )
)
@example(["    ", "'''", "\n", "    >>> f(1)\n    1\n", "    ", "'''"])
def test_another_example_never_breaks_a_stub(parts: list[str]) -> None:
    code = "def f(x: int) -> int:\n" + "".join(parts)
    found = parse_problem(TASK, f" Do.\n\n```python\n{code}\n```\n")
    if isinstance(found, Problem):
        (function,) = ast.parse(dataset.with_example(found.stub, "assert f(2) == 3") + "\n    pass").body
        assert (ast.get_docstring(cast("ast.FunctionDef", function)) or "").endswith(">>> f(2)\n3")


@given(st.text(max_size=400))
def test_no_text_makes_the_reading_fail(text: str) -> None:
    for wrapped in (text, TEXT.replace("Sort it.", text), f"x\n\n```python\n{text}\n```\n"):
        assert isinstance(parse_problem(TASK, wrapped), Problem | Rejected)
    end = end_of_block(text)
    assert end is None or 0 <= end <= len(text)


def test_every_hand_written_exercise_is_a_right_one() -> None:
    """They are shown to the model as models: each passes its asserts and keeps its example, in the sandbox."""
    with Sandbox(lowest_tier=1) as sandbox:
        for exercise in exercises():
            assert exercise.code == f"{exercise.stub}\n{exercise.plan}\n{exercise.body}"
            name = exercise.function
            inputs = propose(exercise.stub, name, tests=[exercise.asserts], budget=8)
            result = sandbox.run_one(Job(Program(exercise.code), inputs.probes))
            votes = (*inputs.constraints, *inputs.asserts)
            assert len(votes) >= 3
            for vote in votes:
                assert result.outcomes[vote.probe].value == vote.expected, (name, vote)


def test_the_prompt_shows_exercises_and_opens_another() -> None:
    prompt = problem_prompt(TASK, 3)
    assert prompt.text.count("## Exercise\n") == 5
    assert prompt.text[prompt.n_shared :] == f"## Exercise\n\nTask: {TASK}\n\nHint:"
    assert prompt == problem_prompt(TASK, 3) != problem_prompt(TASK, 4)


@pytest.mark.parametrize("n", [3, 4])
def test_all_exercises_are_shown_and_equally_often(n: int) -> None:
    shown = [exercise.function for number in range(SHOT_SETS) for exercise in shot_set(number, n)]
    counts = Counter(shown)
    assert counts.keys() == {exercise.function for exercise in exercises()}
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (" the larger of two numbers", "Write a function to find the larger of two numbers."),
        (" the larger of two\n numbers using Python:", "Write a function to find the larger of two numbers."),
        (" all tuples in python of a list.", "Write a function to find all tuples in python of a list."),
        (' the word "a" (or "b")', 'Write a function to find the word "a" (or "b").'),
    ],
)
def test_a_task_is_one_sentence(text: str, task: str) -> None:
    assert read_task("Write a function to find", sample(text)) == task


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (sample("  . "), "says nothing"),
        (sample(" the word `a"), "breaks off"),
        (sample(" a value (e.g"), "breaks off"),
        (sample(" a user in a database"), "values from values"),
        (Sample(" the larger of", -0.5, finished=False), "come to an end"),
        (sample(" the larger of" + " the larger of" * 12), "come to an end"),
    ],
)
def test_what_is_no_task_is_rejected_with_its_reason(found: Sample, reason: str) -> None:
    task = read_task("Write a function to find", found)
    assert isinstance(task, Rejected)
    assert reason in task.reason


def test_no_task_is_named_in_two_ways() -> None:
    assert read_task("Write a Python function that takes a list", sample(" and sorts it.")) == (
        "Write a function that takes a list and sorts it."
    )


@given(st.text(max_size=200), st.booleans())
def test_no_text_makes_the_reading_of_tasks_fail(text: str, finished: bool) -> None:
    task = read_task(OPENINGS[0], Sample(text, -0.5, finished))
    if isinstance(task, str):
        assert task.startswith(OPENINGS[0])
        assert len(task.splitlines()) == 1
        assert len(task) <= 161


def test_openings_are_all_different_and_fit_what_follows() -> None:
    assert len(set(OPENINGS)) == len(OPENINGS) == 54
    assert not any(UNSUITED.search(opening) for opening in OPENINGS)


def test_the_user_is_asked_where_the_base_knows_users_and_a_list_is_continued_elsewhere() -> None:
    turn = task_prompt(OPENINGS[0], f"<user>{OPENINGS[0]}", 3)
    assert turn == Prompt(f"<user>{OPENINGS[0]}")
    listed = task_prompt(OPENINGS[0], None, 3)
    assert listed.text.count("Write a function ") == 5
    assert listed.text[listed.n_shared :] == OPENINGS[0]


def test_repeated_tasks_and_problems_are_told_apart() -> None:
    other = "Write a function to add two numbers."
    again = TASK.upper() + "!!"
    assert distinct_tasks([TASK, again, TASK, other]) == ([TASK, other], [again, TASK])
    one = problem()
    new = replace(one, function="third")
    assert distinct([one, one, new]) == ([one, new], [one])
    assert distinct([one, new], known=["second_largest"]) == ([new], [one])


def test_decontamination_finds_eight_words_in_a_row_and_no_fewer() -> None:
    shingles = word_shingles(
        ["Please: FIND the second, largest number of a list (quickly) 1 2 3 4 5 6 7 8 9"]
    )
    assert overlaps(TASK, shingles)
    assert not overlaps("find the second largest number of a set", shingles)


# --- ratings, skeletons, tests, solutions ------------------------------------------------------------------------


def test_ratings_are_means_over_what_can_be_read() -> None:
    texts = [" 4\nDifficulty: 2", " 2\nDifficulty: 4", " 9\nDifficulty: 1", "good"]
    assert stages.read_rating([sample(text) for text in texts]) == stages.Rating(3.0, 3.0)
    assert stages.read_rating([sample("?")]) == stages.Rating(0.0, 0.0)


def test_skeletons_are_the_stub_and_its_distinct_plans() -> None:
    found = stages.skeletons(problem(), [sample(" sort it, take the last but one."), sample(" "), sample("sort it, take the last but one.")])  # fmt: skip  # noqa: E501
    assert found == [problem().stub, problem().stub + "\n    # Plan: sort it, take the last but one."]
    for skeleton in found:
        ast.parse(skeleton + "\n    return 0")


def test_the_models_own_example_is_a_vote_and_no_constraint() -> None:
    tests = stages.read_tests(problem(), [sample("[1, 2]) == 1\nassert second_largest([5, 5]) == 5")])
    inputs = selection.probes_for(problem(), tests, TINY)
    assert inputs.constraints == ()
    assert len(inputs.asserts) == 3
    assert len(inputs.probes) == TINY.probes


def test_a_skeleton_is_asked_for_in_the_chat_without_its_example() -> None:
    for skeleton in stages.skeletons(problem(), [sample(" sort it.")]):
        asked = stages.ask_solutions(skeleton, 4, TINY, lambda said: f"<user>{said}<model>")
        head = problem().stub.partition("    >>> ")[0].rstrip()
        plan = skeleton.removeprefix(problem().stub)
        assert f'```python\n{head}\n    """{plan}\n```<model>' in asked.prompt.text
        assert ast.get_docstring(
            cast("ast.FunctionDef", ast.parse(stages.bare(skeleton) + "\n    pass").body[0])
        )


def test_solutions_are_programs_or_nothing() -> None:
    head = "def second_largest(numbers):\n"
    texts = [f"```python\n{head}    return sorted(numbers)[-2]\n```", f"{head}    return sorted(numbers)[", "none", head + "    pass"]  # fmt: skip  # noqa: E501
    found = stages.read_solutions(problem(), [sample(text) for text in texts])
    assert [s.source is not None for s in found] == [True, False, False, False]


# --- selection ----------------------------------------------------------------------------------------------------

RIGHT = "def second_largest(numbers: list[int]) -> int:\n    return sorted(numbers)[-2]\n"
ALSO = "def second_largest(numbers: list[int]) -> int:\n    xs = sorted(numbers)\n    return xs[-2]\n"
FIRST = "def second_largest(numbers: list[int]) -> int:\n    return numbers[0]\n"
ZERO = "def second_largest(numbers: list[int]) -> int:\n    return 0\n"
HUGE = "def second_largest(numbers: list[int]) -> int:\n    return 10**5000 + sorted(numbers)[-2]\n"


def examine(*sources: str | None, profile: Profile = TINY) -> Selected | Dropped:
    solutions = [Solution(source, -0.5) for source in sources]
    inputs = selection.probes_for(problem(), ["assert second_largest([3, 1, 2]) == 2"], TINY)
    with Sandbox(lowest_tier=1) as sandbox:
        results = selection.judge(solutions, inputs, sandbox)
    decision = selection.decide(solutions, results, inputs, RULES[DEFAULT_RULE])
    return selection.select(problem(), solutions, results, inputs, decision, profile)


def test_consensus_selects_different_programs_of_one_behaviour() -> None:
    found = examine(RIGHT, ALSO, RIGHT, FIRST, None)
    assert isinstance(found, Selected)
    assert set(found.sources) == {RIGHT, ALSO}
    assert (found.cluster, found.n, found.clusters) == (3, 5, 2)
    namespace: dict[str, object] = {}
    exec(RIGHT, namespace)
    for text in found.asserts:
        exec(text, namespace)


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        ((RIGHT, FIRST, None), "behave alike"),
        ((ZERO, ZERO, ZERO), "constant"),
        ((None, None), "no solution could be chosen"),
        ((RIGHT.replace("sorted", "missing"),) * 3, "no solution could be chosen"),
        ((HUGE, HUGE, HUGE), "no value of the winning behaviour can be written down"),
    ],
)
def test_what_is_no_consensus_is_dropped_with_its_reason(
    sources: tuple[str | None, ...], reason: str
) -> None:
    found = examine(*sources)
    assert isinstance(found, Dropped)
    assert reason in found.reason


def test_a_test_that_says_yes_and_no_is_not_constant() -> None:
    even = "def second_largest(numbers: list[int]) -> bool:\n    return len(numbers) {} 3\n"
    assert isinstance(examine(*[even.format(">")] * 3), Selected)
    never = examine(*[even.format("< 0 *")] * 3)
    assert isinstance(never, Dropped)
    assert "constant" in never.reason


def test_a_consensus_that_is_too_likely_wrong_is_dropped() -> None:
    votes = (RIGHT, RIGHT, ALSO, FIRST, ZERO)
    sure = examine(*votes)
    assert isinstance(sure, Selected)
    found = examine(*votes, profile=replace(TINY, min_confidence=sure.confidence + 0.01))
    assert isinstance(found, Dropped)
    assert "likely to be wrong" in found.reason


def test_a_later_round_with_twice_the_samples_needs_twice_the_cluster() -> None:
    def vote(agreeing: int) -> Selected | Dropped:
        others = [FIRST.replace("[0]", f"[0] + {n}") for n in range(2 * TINY.solutions - agreeing)]
        return examine(*[RIGHT] * agreeing, *others)

    few = vote(2 * TINY.min_cluster - 1)
    assert isinstance(few, Dropped)
    assert "behave alike" in few.reason
    assert isinstance(vote(2 * TINY.min_cluster), Selected)


@given(st.integers(1, 9), st.integers(0, 200))
def test_solutions_are_shared_out_evenly(skeletons: int, n: int) -> None:
    shares = [share for _, share in stages.shared_out([f"s{i}" for i in range(skeletons)], n)]
    assert sum(shares) == n
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= 1


class Script(Sampler):
    """Plays the model: what it says to each kind of prompt is written down here, and what it was asked is kept."""

    def __init__(self, bodies: dict[str, list[str]]) -> None:
        """`bodies`: for each function to invent, the bodies of the solutions that the bare stub gets."""
        self.bodies = bodies
        self.adapter = None
        engine = SimpleNamespace(model_id="script", chat_template="{{ messages[0]['content'] }}", vocab=SimpleNamespace(bos=None, eos=None))  # fmt: skip  # noqa: E501
        self.engines = Engines(cast("list[Engine]", [engine]))  # one at a time
        self.asked: list[str] = []

    def sample(
        self, prompt: Prompt, draw: Draw, stop_when: Callable[[str], int | None] | None = None
    ) -> list[Sample]:
        self.asked.append(prompt.text)
        own = prompt.text[prompt.n_shared :]
        if own == OPENINGS[0]:
            texts = [f" {name} of some numbers" for name in self.bodies]
        elif own.endswith("Hint:"):
            name = next(name for name in self.bodies if name in own)
            texts = ["no form" if draw.seed == 0 else TEXT.replace("second_largest", name)]
        elif own.endswith("Quality:"):
            texts = [" 4\nDifficulty: 2"]
        elif own.endswith(stages.PLAN):
            texts = [" sort them."]
        elif "Tests, edge cases" in own:
            texts = ["[3, 1, 2]) == 2"]
        else:
            name = next(name for name in self.bodies if f"def {name}(" in own)
            texts = [f"def {name}(numbers):\n    return {body}\n" for body in self.bodies[name]]
        return [sample(texts[i % len(texts)]) for i in range(draw.n)]


def test_a_problem_no_two_of_whose_first_samples_agree_is_given_up(tmp_path: Path) -> None:
    largest = "sorted(numbers)[-{}]"
    script = Script(
        {
            "alike": [largest.format(2), largest.format(2) + " + 0", "len(numbers)", "sum(numbers)"],
            "unlike": [largest.format(1), "numbers * 2", "len(numbers)", "sum(numbers)"],
        }
    )
    profile = replace(TINY, task_samples=2, solutions=8, skeletons=2, keep_rated=1.0, min_cluster=3)
    teller = Teller(console=Console(quiet=True))
    with Sandbox(lowest_tier=1) as sandbox:
        selected, pool = Loop(profile, script, Store(tmp_path), sandbox, teller).probe()
    planned = [text for text in script.asked if f"{stages.PLAN} sort them." in text]
    assert [("def alike(" in text, "def unlike(" in text) for text in planned] == [(True, False)]
    (found,) = selected
    assert (found.problem.function, found.cluster, found.n) == ("alike", 4, 8)
    assert {control.problem.function for control in pool} == {"alike", "unlike"}


def test_programs_that_differ_in_names_only_are_one() -> None:
    renamed = "def second_largest(numbers: list[int]) -> int:\n    'Doc.'\n    items = sorted(numbers)\n    return items[-2]\n"  # noqa: E501
    assert selection.normalised(ALSO) == selection.normalised(renamed) != selection.normalised(RIGHT)
    other = RIGHT.replace("second_largest", "other").replace("numbers", "xs")
    assert selection.normalised_body(other) == selection.normalised_body(RIGHT)


# --- data set -----------------------------------------------------------------------------------------------------


def test_examples_ask_in_both_forms_and_answer_shortly() -> None:
    claim = "assert second_largest([4, 9, 7]) == 7"
    source = RIGHT.replace(":\n    return", ':\n    """Doc."""\n    return')
    sentence, stub = dataset.examples(problem(), [source], [claim], lambda user: f"<{user}>")
    assert claim in sentence.prompt
    assert (
        sentence.completion == "```python\ndef second_largest(numbers):\n    return sorted(numbers)[-2]\n```"
    )
    assert ">>> second_largest([4, 9, 7])\n    7\n" in stub.prompt
    assert "    8\n" not in stub.prompt
    assert "numbers: list[int]) -> int:" in stub.completion
    for row in (sentence, stub):
        assert extract_function(row.completion, "second_largest") is not None
    assert dataset.from_jsonl(dataset.to_jsonl([sentence, stub])) == [sentence, stub]


def test_the_control_arm_is_drawn_from_all_samples_and_reproducible() -> None:
    pool = [dataset.Control(problem(), f"def f{i}(): pass\n", ("assert 1",)) for i in range(50)]
    drawn = dataset.unselected(pool, 10, seed=1)
    assert len({control.source for control in drawn}) == 10
    assert drawn == dataset.unselected(pool, 10, seed=1) != dataset.unselected(pool, 10, seed=2)
    assert len(dataset.unselected(pool, 99, seed=1)) == 50


def test_held_out_problems_are_not_trained_on() -> None:
    one = Selected(problem(), (RIGHT,), ("assert 1",), 0.9, 3, 4, 1)
    every = [replace(one, problem=replace(problem(), function=f"f{i}")) for i in range(10)]
    train, held = dataset.split(every, 0.2)
    assert (len(held), len(train)) == (2, 8)
    assert {s.problem.function for s in train}.isdisjoint({s.problem.function for s in held})


# --- the gate -----------------------------------------------------------------------------------------------------


def test_the_gate_accepts_only_what_is_better() -> None:
    assert compare([0.1, 0.2, 0.5], [0.3, 0.2, 0.9]).accepted
    assert not compare([0.5], [0.5]).accepted
    assert "must be better" in compare([0.5], [0.25]).reason
    assert not compare([], []).accepted
    assert "larger profile" in compare([], []).reason
