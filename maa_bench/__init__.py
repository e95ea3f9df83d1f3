"""maa-bench: a benchmark for methods that turn a short trajectory into a whole policy."""

__version__ = "0.1.0"
