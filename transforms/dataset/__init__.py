"""A curated dataset as it lies on disk and on the Hub.

curated    judged pairs as they are published
shards     Arrow shards, and the version that their content gives
run_files  which files of a folder are a run's data
published  the published layout, and a key that says whether two are the same
redaction  what of a run's settings may leave the machine
"""
