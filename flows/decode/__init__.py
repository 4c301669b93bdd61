"""Decoding, `python -m flows.decode [RUN] --policy MODEL`: what mixing a policy with its reference gains.

__main__   the command: parse, decode, print
config     what is compared: flags, a YAML file's keys and Prefect's form
files      what is written, and where it may not be
plan       models and sources found and checked
prompts    of a run's test split, or of sources
flow       the Prefect flow and its stages: answer, score, sum up
artifacts  what Prefect's UI shows of it
"""
