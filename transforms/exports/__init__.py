"""Curated pairs, and generations, in the layouts that other people's tools read: plain tables in, lines of JSON out.

pairs       rows of schema.CURATED as conversations, and why a layout has no place for one
trl         TRL's preferences
openrlhf    OpenRLHF's preferences
nemo_rl     NeMo RL's ranked completions
thresholds  from which score on a response is desirable, and the weights that KTO then asks for
kto         TRL's unpaired preferences
generated   pairs and responses of a generation
questions   a chat benchmark's own file of questions, each known by its text
answers     which answers of a policy are to which of them
alpaca_eval  AlpacaEval's model outputs
arena_hard  Arena-Hard's model answers
mt_bench    MT-Bench's model answers, and the prompts of its second turns
layouts     the layouts by name
json_lines  a row a line, read back as it was written
"""
