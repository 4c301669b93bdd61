"""Tables in, tables out: what the rows of a preference dataset go through."""
