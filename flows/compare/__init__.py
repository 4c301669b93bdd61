"""Comparison, `python -m flows.compare`: does curation help? One training recipe on raw, cut and curated pairs.

__main__   the command: parse, compare, print
config     the recipe of a comparison: flags, YAML and Prefect's form
flow       the Prefect flow: a training each, then one table
plan       what would be done, and whether the result lies there already
held_out   the pairs that all variants are judged by
schedule   which trainings: at equal steps and at equal tokens
estimate   what they will cost
scores     what each trained model says of every held-out pair
answers    what each trained policy writes, and whether it wins
result     from those to the comparison
output     the folder
summary    what the terminal shows: the bill before, the table after
artifacts  what Prefect's UI shows of it
"""
