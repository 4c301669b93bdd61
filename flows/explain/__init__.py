"""Explanation, `python -m flows.explain RUN PAIR`: what became of one pair of a finished run, and why.

__main__  the command: find the pair, print
facts     everything that the run knows of it: raw row, tokens, completions, scores, verdict
"""
