"""The tables and figures of four papers as commands, `python -m flows.reproduce`: at the papers' size, and small.

__main__   parse, list, run, print
config     what the catalogue's files hold
catalogue  the files read and held against each other
"""
