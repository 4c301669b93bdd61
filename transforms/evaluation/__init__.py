"""How well models order labelled pairs, where training moved them, and what a benchmark's judge says of answers.

rewardbench       RewardBench's sections
accuracies        from margins to accuracies: of all, by source, by section, by how much is kept
implicit_rewards  a policy as a reward model of prefixes
displacement      where training moved the probability of the data
standings         trained models side by side, at each budget
decodings         what each decoding rule is worth
annotated         files of verdicts that a chat benchmark's own tool wrote
arena_hard        Arena-Hard's, as win rates
mt_bench          MT-Bench's, as mean ratings
"""
