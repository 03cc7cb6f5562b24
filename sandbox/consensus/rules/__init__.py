"""List all consensus rules by name.

To add one, write a class with `name` and `decide` and list it here.
"""

from sandbox.consensus.rules.baselines import LowestPerplexity, OutputHash, RandomPassing, SuccessRate, UCoder
from sandbox.consensus.rules.joint import Joint
from sandbox.consensus.rules.papers import B4, CodeT, SoftVote, SRank
from sandbox.consensus.types import Rule

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Joint(),
        UCoder(),
        RandomPassing(),
        OutputHash(),
        LowestPerplexity(),
        SuccessRate(),
        CodeT(),
        SRank(),
        B4(),
        SoftVote(),
    )
}
DEFAULT_RULE = "joint"

__all__ = ["DEFAULT_RULE", "RULES"]
