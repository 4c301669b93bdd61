"""Training by whole optimizer steps, whatever is learned.

settings         how a model is trained; readable without torch
task             what a training is about, as far as the trainer has to know
order            which examples a step sees, cut into batches that fit
shares           which of them a process reads
arguments        the Trainer's arguments
passes           what is done at the end of each pass
trainer          transformers' Trainer whose unit of work is a step
sharding         one model's weights spread over all processes
sharded_trainer  a trainer of such a model; its files are those of one process
wrapping         own work inside a wrapped model's forward pass
activations      what layers hold of a forward pass, kept within a budget
compiled         a model's layers fused by torch.compile
tally            means and sums over a step
quantiles        how figures are spread over a measurement
watch            when training must not go on
log              what a run says of every step
checkpoints      complete or not there
budgets          steps in tokens, and tokens in steps
processes        several processes of one training
trained_model    a model as it is trained, and as it is saved
value_head       V(x), for objectives that weigh a reward against what the prompt promises
reports          trackers, which may fail and change nothing
"""
