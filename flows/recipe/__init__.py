"""The recipe of a curation: what every other configuration takes sections of.

models         policy and reward model, and how each is loaded and called
interpolation  a policy between two models, or beyond one of them
judge          an LLM judge
pair_ranker    a model that compares two responses
rule           a Python function that scores
cluster        replicas on other machines
generation     prompts, who answers them, who scores, and what makes a pair
preparation    who tokenises and truncates
curation       its sections, keys, defaults and bounds
command_line   read from a file and flags
"""
