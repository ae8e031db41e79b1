"""Reports: each is made of one `Results` value and of nothing else, so a report can be made again of a run's JSON.

`formats` is the way in: the formats by name, and how they are written to files. `terminal` prints.
"""
