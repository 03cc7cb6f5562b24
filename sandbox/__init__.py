"""Run untrusted programs and find the behaviour that most agree on.

This is the one oracle of all three flows (completion, self-training, CI gate). It does not depend on language models,
editors or git: programs and probes in, outcomes and decisions out.
"""
