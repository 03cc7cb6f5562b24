"""All consensus rules by name. To add one: write a class with `name` and `decide`, and list it here."""

from sandbox.consensus import Rule
from sandbox.rules.joint import Joint
from sandbox.rules.literature import B4, CodeT, SoftVote, SRank
from sandbox.rules.published import LowestPerplexity, OutputHash, RandomPassing, SuccessRate, UCoder

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
