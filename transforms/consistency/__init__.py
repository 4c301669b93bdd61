"""Does a truncated pair still carry its preference (methods §3)? From rewards of completions to verdicts.

win_shares   win shares, and the sequential decision
posteriors   what can be said of a consistency however it is believed in
beliefs      what is believed of a pair by wins: mixtures of Beta distributions
reward_gaps  what is believed of a pair by how far its completions win
gap_fits     the shape of those gaps, fitted by folds, and whether it beats counting
evidence     what is known of all pairs while completions come in
proxy        the margin of the full responses as a stand-in for sampling
sequential   which pairs are completed next, and how often
deciding     a run's order of it all: audit, proxy, rounds
judge        evidence to columns: estimate, verdict, reason
rates        the consistency of a dataset and its groups
"""
