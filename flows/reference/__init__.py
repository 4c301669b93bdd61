"""Reference, `python -m flows.reference`: docs/reference and the picture of the rooms, from the code itself.

__main__      the command: write or check the pages
pages         every page as text
keys          a pydantic model as a table of keys
reproduction  the catalogue of papers and the readers of its series
rooms         docs/rooms.svg
rows          the names under which rows say what is not in their texts
"""
