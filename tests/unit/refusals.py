"""How a command refuses: shared by the tests of several verbs."""

from __future__ import annotations


def refused(ended: tuple[int, str, str], *parts: str) -> None:
    """A command (its code, output and errors) ended with exit code 2 and one line that says `parts`."""
    code, out, err = ended
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err, err
