"""Policies: learned from preferences or completions, read beside their reference, decoded with it.

sides             from a batch and what models say of it to what an objective reads
preferences       learning from preferences by one objective
completions       learning from completions alone
token_readings    what policy and reference say at every response token
reading_together  what a reference says whose weights are spread over several processes
decoding          decoding that mixes both, one token at a time
"""
