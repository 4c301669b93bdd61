"""Tables as token sequences: what is learned from.

pair_tokens  pairs as the sequences that a reward model reads
examples     prompts with the kept tokens of their responses
references   log-probs of whole responses, so that every cut of them is a sum
"""
