"""Run untrusted programs, describe what they did, and find the behaviour most of them agree on.

This is the one oracle of all three flows (completion, self-training, CI gate). It knows nothing of
language models, editors or git: programs and probes in, outcomes and decisions out.
"""
