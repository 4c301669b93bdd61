"""The Hugging Face Hub: one dataset repository, and how it is spoken to.

repository  few operations, each safe to repeat, with one way to fail
patience    how often each is tried, how long is waited, what is said in the end
token       named in a configuration, read where it is used, never shown
"""
