"""The tables and figures of four papers as commands, `python -m flows.reproduce`: at the papers' size, and small.

__main__            parse, list, run, print
config              what the catalogue's files hold
catalogue           the files read and held against each other
asked               the names of a command line, and its folder
plan                what is asked for, its steps in order, which of them are finished
steps               a step as a command: its recipe, its files, its words, its fingerprint
data                the folder of `--data`
edited              recipes that somebody changed, read as their commands read them
output              the folder: what lies where, and which steps are finished
run                 the steps run, each as a process of its own
telling             entries read from what the steps left, and written
found               what readers stand on
data_readers        of audit.json and manifest.json
evaluation_readers  of evaluation.json
training_readers    of comparison.json, decode.json and metrics.jsonl
readings            readers by name: a series from finished steps
rests_on            what its numbers rest on, in sentences
numbers             numbers in words
claims              what the paper says, held against them
results             one table or figure as it came out
pages               papers.md with its pictures
listing             `--list`
summary             what the terminal shows of a run
"""
