"""What runs: the order of the stages, retries, paths and progress. The only package that knows Prefect.

A command is a room: `__main__` parses and prints, `config` is what it is told, `plan` what it would do, `flow` the list
of its stages, `output` its folder, `summary` and `artifacts` what terminal and Prefect's UI show. Imports go downwards.

    curate    generate  audit     explain         data
    train     evaluate  compare  decode           models
    rounds                                        data and models in turn
    reproduce                                     tables and figures of papers, by the commands above
    publish   export    diff     refresh  deploy  versions
    starter   reference  data_cards               what this repository keeps of itself

    answers     what models write to held-out prompts, and whose a judge likes better
    annotators  what judges responses, through the ledger
    replicas    several engines of one model, on many GPUs
    models      what a recipe's models are asked, through the ledger
    versions    a dataset's folders, fingerprint and versions
    recipe      what a curation is told
    hub         one repository on the Hub
    runtime     what every command stands on
"""
