"""Raw preference datasets to canonical pairs, whatever a dataset calls its columns.

canonical       what every source becomes: a prompt, two responses, ids of the content
options         what every source of a recipe can say
adapter         what a kind of source is
about           what its public sets say of themselves
rows            a raw row that knows what was read of it
messages        columns of messages or text to turns
fields          what a row says beside its texts
endings         how a response ended
structures      what this project's own tables have beside roles and contents
votes           preferences of annotators, one signed strength
battles         two models, one user, one vote
pairing         which of several responses meet
completions     rows with one answer to a prompt
kinds           one file a kind, and the list of them
marks           marks of a chat template that leaked into texts
tables          Arrow batches to raw rows
files           one data file to raw rows
read            a recipe's path to raw rows: Hub, folder, URL
generated_responses  all responses of a generation
load            a source to tables of canonical pairs, nothing lost on the way
prompts         a source to tables of prompts, likewise
best_of         a source to prompts with right and wrong responses, likewise
labels          what each source of a recipe is called
raw_row         the raw row behind a pair
stated_licence  the licence that a dataset's own card states
licences        which licence a mix may carry
papers          papers to cite
pages           the generated parts of data_cards/sources
"""
