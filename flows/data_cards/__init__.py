"""Source pages, `python -m flows.data_cards`: the generated parts of data_cards/sources.

__main__  the command: write or check the pages
"""
