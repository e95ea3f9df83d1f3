"""Judging run records that somebody else made: what `maa-bench validate` and the check of pull requests run.

Nothing of a record is taken for true that can be looked up in the package, made again from the episodes, or rolled out
again. All problems are told, each in a line; what could not be checked is told, too.
"""
