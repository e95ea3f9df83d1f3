"""Suites as data: `<suite>.toml` and `<suite>.layouts.npz`."""
