"""Tables in, tables out: what the rows of a preference dataset go through. Imports go downwards.

report                    pages, figures and cards
exports                   kept pairs in other people's layouts
versions  evaluation      two versions side by side; models on labelled pairs
audit                     what a cut would do
consistency               does a truncated pair still carry its preference?
pairing                   from scored responses to pairs, and what the scores are worth
preparation  asking       pairs to prepared pairs; what models are asked and what they answered
judging                   what LLM judges are asked and what their answers say
sources  engines          raw rows to canonical pairs; the models that are called
dataset                   a curated dataset on disk
chat                      a family's template and tokens
tables  records           columns; JSON files
statistics                numbers with their uncertainty
text, choices, precision, paths, errors
"""
