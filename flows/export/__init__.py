"""Export, `python -m flows.export RUN --to LAYOUT …`: runs and generations in the layouts that other tools read.

__main__  the command: find the version, export, print
contents  what there is: kept pairs of a run, or pairs and all responses of a generation
export    the files of each layout and split
readme    the page beside them: what each file is, and what its tool does to responses without an end-of-turn
output    the folder, whole or not at all, and what is printed
answers   a policy's answers for a chat benchmark's own tool
"""
