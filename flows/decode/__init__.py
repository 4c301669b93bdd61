"""Decoding, `python -m flows.decode RUN --policy MODEL`: what mixing a policy with its reference gains.

__main__   the command: parse, decode, print
config     what is compared: flags and Prefect's form
plan       models found and checked
flow       the Prefect flow and its stages: answer, score, sum up
artifacts  what Prefect's UI shows of it
"""
