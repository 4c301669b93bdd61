"""How well models order labelled pairs, and where training moved them.

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
"""
