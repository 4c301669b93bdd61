"""Trainers that read curated shards as token ids and never append a token. Imports go downwards.

policies  rewards  what is learned, and how it is saved
steps              training by whole optimizer steps
batches            examples as tensors, and log-probs of their kept tokens
reading            tables as token sequences
objectives         the losses, one pure function each
"""
