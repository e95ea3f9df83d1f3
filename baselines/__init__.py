"""The methods that ship with maa-bench, one folder each; found through entry points like anybody else's."""
