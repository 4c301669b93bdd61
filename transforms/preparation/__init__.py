"""From canonical pairs to prepared ones: which are taken, their token ids, how much of each is kept.

dedupe      contradictions, duplicates and the cap on pairs a prompt
truncation  how many tokens of each response to keep (methods §2)
prepare     pairs to token ids, keeps and cut flags
generated   two responses that were sampled as a pair
filters     rules that drop pairs, each with a reason
"""
