"""What an LLM judge is asked and what its answer says, without asking one.

shown      a conversation and its responses as a judge reads them, so that no response can be taken for more
prompts    the questions: which of two responses is better; how good is one
verdicts   what an answer says, or why it cannot be read
questions  a question with its content id and seeds
price      what tokens cost
"""
