"""What is fast, and against whom: the same input through every lane, each in a process of its own.

Run from a checkout with `make bench`, `velocity bench` or `python -m benchmarks.run`; it is not part of the package.
"""
