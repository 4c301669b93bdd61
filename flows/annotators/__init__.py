"""What judges the responses of a prompt: reward models, pair rankers, LLM judges, rules; each paid for once.

protocol     what an annotator is
reward       a scalar reward model
comparisons  which responses are compared, and their scores
pair_ranker  a model that compares two responses
judge        LLM judges over an OpenAI-compatible server
rule         a Python function of the user's
"""
