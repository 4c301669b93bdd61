"""Refresh, `python -m flows.refresh`: a dataset brought up to date, as its schedule does it.

__main__   the command, for a cron of one's own
config     how a refresh is run; a parameter of its deployment
flow       the Prefect flow that deployments start
attempts   tried again when something outside was down, stopped when it takes too long
stages     is anything new, then curate beside the last run, publish, and only then replace it
folders    where the last run, the next and the one before lie
publisher  versions on the Hub
artifacts  what Prefect's UI shows of it
"""
