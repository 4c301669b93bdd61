"""Audit, `python -m flows.audit`: what would truncating this data keep of its order, and what would it save?

__main__   the command: parse, run, print
flow       the Prefect flow
stages     a random sample of pairs: completed, scored, and summed up cut by cut
artifacts  what Prefect's UI shows of it
"""
