"""Curation, `python -m flows.curate`: raw preference pairs in, a curated dataset with its report out.

__main__    the command: parse, run, print
flow        the Prefect flow: every stage in order
plan        what would be done: sources and models found, and whether the result lies there already
dry_run     what it would cost, before it costs anything
run         what the stages share: work folder, models, accounts, the record of every row
loading     stage 1: sources to prepared parts
part_work   one part of it, as a run or a worker prepares it
part_workers  processes, or tasks of Ray, that prepare parts
live_pairs  the pairs that nothing has dropped yet, and their places in the evidence
sampling    completions of cut prefixes, through the ledger
estimating  stage 2: full rewards, audit, proxy, and rounds of completions for the rest
judging     stage 3: estimate, verdict and reason of every pair
accepting   exactly as many generated pairs as the recipe accepts
writing     stage 4: dataset/, dropped/ and responses/
finish      stage 5: manifest, report and card
summary     what the terminal shows of a finished run
artifacts   what Prefect's UI shows of it
tracked     what trackers are told of it
"""
