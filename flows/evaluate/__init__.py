"""Evaluation, `python -m flows.evaluate`: how well do a reward model and a policy order labelled pairs?

__main__   the command: parse, evaluate, print
config     the recipe of an evaluation: flags, YAML and Prefect's form
flow       the Prefect flow: every stage in order
plan       what would be done: data and models found
data       labelled pairs, read from their sources in the tokens of the model that reads them
reward     a reward model: margins of whole and of cut responses
policy     a policy: implicit rewards at every kept length, displacement, distance to its reference
positions  what policy and reference say of the same positions, chunk by chunk
annotation_config  the section of files that a chat benchmark's own tool judged
annotations  what they say
annotations_shown  what the terminal shows of them
summary    what the terminal shows of it
artifacts  what Prefect's UI shows of it
"""
