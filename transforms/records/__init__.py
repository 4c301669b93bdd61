"""What each command says about its work, as JSON: models that are written last and read by everybody.

manifest    manifest.json of a run
generation  manifest.json of a generation
audit       audit.json
answers     of evaluation.json: what models wrote, and whose answers won
rewardbench2  its part of evaluation.json
tasks       likewise, of lm-evaluation-harness
evaluation  evaluation.json
annotations  its part on the verdicts of chat benchmarks
comparison  comparison.json
rounds      rounds.json
decoding    decode.json
difference  diff.json
export      export.json
reproduction  a table or figure of a paper beside what came out here
"""
