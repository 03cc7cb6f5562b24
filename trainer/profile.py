"""How large a training run is: every number of the loop, in three sizes.

The `full` numbers are the paper's where it gives them (n = 128 solutions, about 100 tests a problem, 3 epochs);
the others are what 2 CPU cores do in minutes (`tiny`) or within an hour (`small`), measured in docs/log.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """The size of one run. Temperatures and thresholds that no profile changes have their defaults here."""

    name: str
    what: str
    """One phrase for `--help`."""
    task_samples: int
    """Tasks sampled in stage 1; about four of ten become distinct problems that can be tried."""
    solutions: int
    """n: solutions sampled for each problem, spread evenly over its skeletons."""
    asserts: int
    """Test blocks sampled for each problem (a block holds one to four asserts)."""
    probes: int
    """Inputs that each solution runs on."""
    min_cluster: int
    """The paper's tau: a smaller winning cluster is no consensus."""
    min_confidence: float
    """In [0, 1], of the decision (docs/consensus.md): below 0.45 one winner of six was right. Where problems are few,
    more of them are worth more than surer ones: a model learns thirty programs by heart (docs/log.md)."""
    gate_samples: int
    """Solutions for each held-out problem and model at the gate."""
    epochs: int
    rounds: int = 1
    """Rounds of self-training: after the first, the last adapter's answers join the candidates, asked for as they will
    be served, and the next adapter is trained anew from the base (ReST-EM)."""
    skeletons: int = 1
    """Prompts for each problem: the bare stub, and stubs with a sampled plan."""
    ratings: int = 6
    keep_rated: float = 0.8
    """Share of the problems, best rated first, that goes on."""
    task_temperature: float = 0.8
    problem_temperature: float = 0.3
    """Of the statement of a task, which is a matter of form."""
    solution_temperature: float = 0.8
    """A model as small as the embedded one agrees with itself twice as often at 0.5 (docs/log.md)."""
    solution_tokens: int = 192
    """Longer functions are cut off and lost: the base writes few that are longer and right."""
    min_outputs: int = 3
    """Distinct values that the winning behaviour must show: a constant function is no evidence of anything. Of a test,
    True and False are enough."""
    per_problem: int = 2
    """Solutions taken from one problem at most (cap against collapse)."""
    held_out: float = 0.2
    """Share of the selected problems that is never trained on and judges the adapter."""
    rank: int = 16
    own_answers: int = 0
    """Answers of the base to each prompt that are trained on too: those that do what consensus does are learned,
    others rehearsed, which keeps the adapter where the base was and makes it surer of that (`data.own_answers`)."""
    teacher_temperature: float = 0.25
    """Of the base's distribution over the tokens of those answers."""
    learning_rate: float = 2e-4
    """Ten times a full fine-tuning rate: what LoRA needs (docs/training.md)."""
    batch: int = 8
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data, for keys and for the report."""
        return asdict(self)


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
