"""The recipe of a curation: what every other configuration takes sections of.

curation      its sections, keys, defaults and bounds
command_line  read from a file and flags
"""
