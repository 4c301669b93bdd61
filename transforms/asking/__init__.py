"""What models are asked, and what they answered.

requests  what must be sampled and scored, each unit of work with a content id
readings  what the reward model must read: full responses, and prefixes with their completions
answers   prompts that policies are to answer, and what they said
leases    which run is paying for a batch now
ledger_index  which part of the ledger holds which answer
ledger    finished answers, append-only: resume, reuse and cost
"""
