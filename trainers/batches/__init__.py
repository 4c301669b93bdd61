"""Examples as tensors, and what a model says of their kept tokens.

tensors           packed and padded batches
shared_prompts    attention in which every response sees its prompt and itself
varlen            the same in one kernel, on a GPU that has one
packing           whether a model reads packed batches as it reads responses one by one
layouts           which layout a dataset is read in
target_log_probs  log softmax(logits)[target] without further tensors of their size
logprobs          log-probs of kept tokens, without the logits of a whole batch
"""
