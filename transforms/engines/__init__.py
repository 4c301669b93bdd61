"""The models that transforms call. The only inference code that imports vllm, transformers or openai.

protocol                  what completion, reward and position engines are
models                    which model a recipe means, and what fixes its answers
select                    from an engine's name to an engine
tokenizer                 a model's own tokenizer and context
tokenizer_files           what a tokenizer is made of, by hashes of files
kept_results              what is kept in the user's cache, by what it is made of
stored_tokenizer          a tokenizer as transformers made it, loaded without it
templated_tokenizer       a copy of one with another chat template
file_hashes               hashes of files, known again by size and time
objectives                a reward model of several objectives, without its weights
pair_inputs               a prompt and two responses in a pairwise model's own tokens
reward_inputs             conversations in a reward model's own tokens
checks                    what every engine refuses before it starts
reward_checks             what a checkpoint must be before it may score
causal_model              a policy's weights through transformers
batches                   rows of unequal lengths as batches
common_beginnings         which conversations begin alike
shared_prefixes           conversations that begin alike, read once up to where they part
vllm_process              what both in-process vLLM engines share
vllm_classes              classes of transformers that vLLM changed, given back
vllm_completions          completions by vLLM
vllm_rewards              rewards by vLLM
openai_client             key, retries and errors of OpenAI-compatible servers
server_completions        completions by a vLLM server
judge_server              answers of LLM judges by any such server
transformers_completions  completions without vLLM
transformers_rewards      rewards by transformers
decoder_heads             heads of one number that transformers has no class for
armorm                    rewards of several objectives, by ArmoRM
pairrm                    comparisons of two responses, by PairRM
transformers_positions    log-prob and entropy at every response token
adapters                  LoRA adapters, and whether one fits its base
interpolation             w·a + (1 − w)·b of two models, as a model folder
engine_settings           which engine can do which setting
made_folders              model folders that are made here: whole or not there
rule_process              a user's function, run in processes of its own
rule_child                what such a process runs
starter_model             SmolLM2 out of a PyPI package
fakes                     seeded engines without a model, for unit tests
"""
