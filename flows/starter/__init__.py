"""The starter's data and models, `python -m flows.starter`: a first run without hub, account or GPU.

__main__  sample the data anew, measure the reward model
"""
