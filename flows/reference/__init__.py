"""Reference, `python -m flows.reference`: docs/reference and the picture of the rooms, from the code itself.

__main__  the command: write or check the pages
pages     every page as text
keys      a pydantic model as a table of keys
rooms     docs/rooms.svg
rows      the names under which rows say what is not in their texts
"""
