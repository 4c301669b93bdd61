"""Publishing, `python -m flows.publish RUN --repo ORG/NAME`: a run becomes a version on the Hub, or nothing does.

__main__   the command: parse, publish, print
config     what goes where: flags and the flow's parameters
flow       the Prefect flow
release    what is decided, and the order in which it happens
export     the run in the published layout, and what versions are compared by
artifacts  what Prefect's UI shows of it
"""
