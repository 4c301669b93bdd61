"""What judges the responses of a prompt: reward models, pair rankers, LLM judges, rules; each paid for once.

protocol  what an annotator is
reward    a scalar reward model
"""
