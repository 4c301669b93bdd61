"""Training, `python -m flows.train`: a policy or a reward model from a curated run, token for token.

Completions are learned from rows of prompts and completions, too.

__main__             the command: parse, train, print
config               the recipe of a training: flags, YAML and Prefect's form
flow                 the Prefect flow: every stage in order
plan                 what would be done: data, model and objective found and checked
pairs                a run's pairs as they were written, held against its manifest
responses            every response to a run's prompts, with rewards
rows                 prompts and completions that no run wrote, in the model's tokens
examples             which of them are learned from, by split
reference_log_probs  what the reference says of them: sums of what the ledger holds
learner              what a training makes of its model: a policy or a reward model
policy               a policy, by one of the objectives
completions          a policy, from completions alone
reward               a reward model: all weights or an adapter, and its head
reward_head          a reward model of which the head alone is trained
stages               read, check, reference log-probs, train, evaluate, write
other_processes      the processes of a launcher but the first
output               the folder: checkpoints, model, training.json last
record               training.json
page                 training.html
summary              what the terminal shows of it
artifacts            what Prefect's UI shows of it
"""
