"""The models that a recipe names, and what they are asked through the ledger.

recipe_models        found, identified, and opened only when a batch needs them
interpolated_policy  made of two models, once
starter_reward       the starter's reward model, trained once
crew                 who answers: the engine in this process, or replicas elsewhere
engine_calls         expensive calls of one kind: a batch's missing requests, what they cost
sampling             completions by a policy
scoring              rewards of full responses and completions
log_probs            log-probs of whole responses by frozen policies
"""
