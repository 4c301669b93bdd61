"""What a cut would do to a dataset: curves, the published rates, and what both allow to say.

curves           how sure the policy is at each position, and what a prefix is worth
published_rates  what the papers measured
advice           what an audit's numbers mean for a training
"""
