"""What may stand in a record: finite numbers in sane bounds, plain names, and words that do nothing but be read."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Six decimals: fewer than the last bits in which two machines' sums differ, so that records keep the same
# bytes.
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(lambda x: round(x, 6))]
# Whole numbers as far as every reader of JSON has them exactly.
Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
Seed = Annotated[int, Field(ge=-(2**53), le=2**53)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Of a method, suite, split, task or protocol: it may name a file or a folder."""
# Words of strangers: no characters that command a terminal, or that turn the direction in which text is read.
Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$")]
HubId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}(@[A-Za-z0-9._-]{1,64})?$")
]
Factor = Annotated[float, Field(ge=1)]
# Three hundred years.
Seconds = Annotated[float, Field(ge=0, le=1e10), AfterValidator(lambda x: round(x, 3))]


def _packages(versions: dict[str, str]) -> dict[str, str]:
    for name in versions:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"{name!r} is no package's name")
    return versions


Versions = Annotated[dict[str, Text], AfterValidator(_packages)]


class Part(BaseModel):
    """A part of a record: no unknown keys, no NaN, no infinity; never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
