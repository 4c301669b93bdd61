"""Conversations in a model family's own words: its chat template, what it writes around a response, and the check that
both give the tokens which the family gives.

In reading order: conversation (what a template takes), template (rendering, with a fixed date), turn (what a template
writes around a response, and back from there to what was said), encoding (prompts and responses as token ids), probes
(what is tried on a model before a run).
"""
