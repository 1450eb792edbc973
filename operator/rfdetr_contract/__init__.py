"""What the operator and the trainer agree on.

Plain data and pure functions over the standard library and pydantic: no input, no output, no clock, no chance.
A string or a number that crosses the border between the two images is written here, once.
"""
