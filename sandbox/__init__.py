"""Run untrusted programs and find the behaviour that most of them share.

This is the one oracle of all three flows (completion, self-training, CI gate). It takes programs and probes, and
returns outcomes and decisions. It does not depend on language models, editors or git.
"""
