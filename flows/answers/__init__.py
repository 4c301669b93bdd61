"""Answers: what models write to prompts that they were not trained on, and whose a judge likes better.

config       the section of a recipe: prompts, models, baseline, judge
generations  a model against the baseline as a generation of flows.generate, which the ledger pays for once
reading      what such a generation wrote: how answers ended, their lengths and scores
benchmark    AlpacaEval's files, for its own length-controlled rate
prefixes     what the beginnings of answers are worth
entropy      how sure models are of their own answers, by position
winning      win rates, and on how many prompts they rest
stage        all models, one after the other
"""
