"""Methods of strangers for tests, each with a fault of its own or none. A lone file of them may be copied elsewhere."""
