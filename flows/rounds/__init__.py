"""Rounds, `python -m flows.rounds`: generate with the newest policy, curate, train on it, and once more.

__main__   the command: parse, run, print
config     the recipe: flags, YAML and Prefect's form
recipes    what generation, curation, training and evaluation of one round are told
flow       the Prefect flow: prompts, then round by round data, training, held-out answers, verdict
plan       what would be done, and whether the result lies there already
prompts    training and held-out prompts, kept apart
held_out   what the judge says of a policy's answers to held-out prompts
verdict    a round against the start, the round before and the best; which is the best, and when to stop
output     the folder: rounds.json and best.json after each round
card       what a round's dataset card says of the round
summary    what the terminal shows of it
artifacts  what Prefect's UI shows of it
"""
