"""Curated pairs, and generations, in the layouts that other people's trainers read: plain tables in, lines of JSON out.

pairs       rows of schema.CURATED as conversations, and why a layout has no place for one
trl         TRL's preferences
openrlhf    OpenRLHF's preferences
nemo_rl     NeMo RL's ranked completions
thresholds  from which score on a response is desirable, and the weights that KTO then asks for
kto         TRL's unpaired preferences
generated   pairs and responses of a generation
layouts     the layouts by name
json_lines  a row a line, read back as it was written
"""
