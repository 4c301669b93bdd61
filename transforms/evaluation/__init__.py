"""How well models order labelled pairs, where training moved them, and what a benchmark's judge says of answers.

rewardbench       RewardBench's sections
rewardbench2      scores of RewardBench 2 from rewards
task_files        what local tasks of lm-evaluation-harness are made of
task_results      numbers of its results file
accuracies        from margins to accuracies: of all, by source, by section, by how much is kept
implicit_rewards  a policy as a reward model of prefixes
displacement      where training moved the probability of the data
standings         trained models side by side, at each budget
answer_standings  the same by what they wrote
alpaca_eval       AlpacaEval 2's length-controlled win rate
decodings         what each decoding rule is worth
annotated         files of verdicts that a chat benchmark's own tool wrote
alpaca_eval_annotations  AlpacaEval's, as win rates
arena_hard        Arena-Hard's, as win rates
mt_bench          MT-Bench's, as mean ratings
"""
