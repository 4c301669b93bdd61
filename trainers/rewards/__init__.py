"""Reward models: trained whole or by their head, and saved as transformers loads them.

comparisons  all weights from pairs, by Bradley and Terry's method
features     what a head reads
head         a linear head on fixed features
accuracy     how well a head orders pairs
fit          a head on a frozen policy, from pairs to a checkpoint
checkpoint   a reward model on disk
"""
