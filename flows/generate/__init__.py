"""Generation, `python -m flows.generate`: prompts in, scored responses and preference pairs out.

__main__    the command: parse, run, print
flow        the Prefect flow: every stage in order
plan        what would be done, and whether the result lies there already
dry_run     what it would cost, before it costs anything
voices      the policies that answer, found and identified
judges      the annotators, likewise
run         what the stages share: work folder, accounts, the record of every prompt and response
sources     stage 1: sources to distinct prompts, which flows.decode reads too
prompts     those of them that every policy can read
answering   stage 2: responses through the ledger, a wave of prompts at a time
annotating  stage 3: scores of all responses by every annotator
pairing     stage 4: one score a response, and which two make a pair
drawing     how many prompts are drawn, wave by wave
writing     stage 5: dataset/ and responses/
shown       what the report is drawn from
finish      stage 6: manifest, report and card
summary     what the terminal shows of it
artifacts   what Prefect's UI shows of it
tracked     what trackers are told of it
"""
