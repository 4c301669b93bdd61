"""Versions of a dataset: the folder that holds one, what identifies it, and where others lie.

fingerprint     whether anything changed: one hash over all that decides the data
source_account  what a source brought, counted
run_record      a run's quarantine, and the seconds of its stages
output_folder   nothing half-written looks complete, no other run is overwritten by accident
copies          a second place for a finished run, on any fsspec path
place           what a command line calls a version
version         one version wherever it lies: a run's folder, a published one, the Hub
"""
