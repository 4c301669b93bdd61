"""Difference, `python -m flows.diff A B`: what became other between two versions of a dataset, and why.

__main__    the command: find both versions, print
difference  the comparison of two versions
output      what is printed, and the files that are left
"""
