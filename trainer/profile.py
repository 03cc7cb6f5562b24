"""The size of a training run.

It holds every number of the pipeline, in three profiles.

The `full` numbers are the paper's where it gives them (n = 128 solutions, about 100 tests per problem, 3 epochs).
The others are what 2 CPU cores do in minutes (`tiny`) or within an hour (`small`): docs/decisions.md, "The profile
small fits into an hour".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """The size of one run.

    The defaults are the numbers that most profiles share.
    """

    name: str
    what: str
    """One phrase for `--help`."""
    task_samples: int
    """Tasks sampled by the first stage; about four of ten become distinct, usable problems."""
    solutions: int
    """n: solutions sampled for each problem, spread evenly over its skeletons."""
    asserts: int
    """Test blocks sampled for each problem (a block holds one to four asserts)."""
    probes: int
    """Probe inputs for each solution."""
    min_cluster: int
    """The paper's tau: the smallest winning cluster that counts as a consensus."""
    min_confidence: float
    """In [0, 1], of the decision (docs/consensus.md): below 0.45 one winner of six was right. Small profiles keep every
    consensus, since few problems are learned by heart (docs/decisions.md, "Small profiles keep every consensus")."""
    gate_samples: int
    """Solutions for each held-out problem and model, for the acceptance."""
    epochs: int
    rounds: int = 1
    """Rounds of self-training. After the first, the last adapter's answers to the served prompts join the candidates,
    and the next adapter is trained anew from the base (ReST-EM, Singh et al. 2024)."""
    skeletons: int = 1
    """Prompts for each problem: the bare stub, and stubs with a sampled plan."""
    ratings: int = 6
    """Ratings sampled for each problem."""
    keep_rated: float = 0.8
    """Share of the problems that is kept, best rated first."""
    task_temperature: float = 0.8
    problem_temperature: float = 0.3
    """For the statement of a task, where form matters most."""
    solution_temperature: float = 0.8
    """Small models agree more often at 0.5 (docs/decisions.md, "Solutions of the embedded model are sampled at
    0.5")."""
    solution_tokens: int = 192
    """Longer functions are cut off and lost: the base writes few that are longer and right."""
    min_outputs: int = 3
    """Distinct values that the winning behaviour must show: a constant function is not evidence of anything. True and
    False are enough for a predicate."""
    per_problem: int = 2
    """Solutions taken from one problem at most, against collapse."""
    held_out: float = 0.2
    """Share of the selected problems that is never trained on and judges the adapter."""
    rank: int = 16
    """Of the LoRA matrices."""
    own_answers: int = 0
    """Answers of the base to each prompt that are trained on too (`trainer.data.own_answers`). Those that behave as
    consensus does are learned. Others are rehearsed: the adapter stays where the base was, and becomes surer there."""
    teacher_temperature: float = 0.25
    """Of the base's distribution over the tokens of the rehearsed answers."""
    learning_rate: float = 2e-4
    """Ten times a full fine-tuning rate, as LoRA needs (docs/training.md)."""
    batch: int = 8
    """Training rows per step."""
    seed: int = 0


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "tiny", "minutes on 2 CPU cores: tries the whole loop", task_samples=160, solutions=8, asserts=2,
            probes=12, min_cluster=3, min_confidence=0.0, gate_samples=8, epochs=2, solution_temperature=0.5,
            learning_rate=7e-4, own_answers=2, held_out=0.4,
        ),
        Profile(
            "small", "within an hour on 2 CPU cores: a first adapter", task_samples=640, solutions=8, asserts=2,
            probes=16, min_cluster=3, min_confidence=0.0, gate_samples=8, epochs=1, solution_temperature=0.5,
            learning_rate=7e-4, own_answers=4,
        ),
        Profile(
            "full", "a night and more on a GPU: the paper's numbers", task_samples=40_000, solutions=128,
            asserts=40, probes=100, min_cluster=8, min_confidence=0.45, gate_samples=16, epochs=3, rounds=2,
            skeletons=4, solution_tokens=512,
        ),
    )
}  # fmt: skip
