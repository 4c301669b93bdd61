"""Deployment, `python -m flows.deploy`: a dataset that refreshes itself, on this machine or on a work pool.

__main__       the command: parse, register or serve
deployments    checked, registered, served
notifications  who is told when a refresh fails
"""
