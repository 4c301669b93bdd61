"""Conversations in a model family's own words: its template, its tokens, and what it writes around a response.

conversation  a pair's turns, tools and arguments, as a chat template takes them
template      the family's template, as transformers renders it
turn          what a template writes around a response, and back to what was said
tokens        the family's tokenizer, reduced to what curation needs
encoding      prompts and responses as the template's own token ids
probes        what is tried on a model before a run
"""
