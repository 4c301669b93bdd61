"""Evaluation, `python -m flows.evaluate`: how well do a reward model and a policy order labelled pairs?

__main__   the command: parse, evaluate, print
config     the recipe of an evaluation: flags, YAML and Prefect's form
tasks_config  its section of tasks of lm-evaluation-harness
flow       the Prefect flow: every stage in order
plan       what would be done: data and models found
data       labelled pairs, read from their sources in the tokens of the model that reads them
reward     a reward model: margins of whole and of cut responses
policy     a policy: implicit rewards at every kept length, displacement, distance to its reference
positions  what policy and reference say of the same positions, chunk by chunk
rewardbench2  a reward model on RewardBench 2: scores by subset
harness    lm-evaluation-harness in an environment of its own, as a child process
tasks      a policy on its tasks: what would be run, the run, its files
benchmark_tables  what terminal and Prefect's UI show of both
annotation_config  the section of files that a chat benchmark's own tool judged
annotations  what they say
annotations_shown  what the terminal shows of them
summary    what the terminal shows of it
artifacts  what Prefect's UI shows of it
"""
