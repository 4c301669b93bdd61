"""Tables between stages: their columns, and how rows travel.

schema        the column contract of every table
columns       what each column means, in words
ragged        token ids of many texts in one array
parts         work tables on disk, a fixed number of rows each
pandas_later  pyarrow without pandas, until somebody has a data frame
"""
