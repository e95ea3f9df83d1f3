"""Options of `maa-bench run` and `maa-bench render` that settle the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maa_bench.protocol import Protocol

if TYPE_CHECKING:
    from maa_bench.named_protocol import NamedProtocol

PANEL = "Protocol"
PROMPTS = "Protocol: how prompts were made"
DYNAMICS = "Protocol: where is tested"


def _option(flag: str, text: str, panel: str = PANEL) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, help=text, rich_help_panel=panel)
    return option


def _dynamics(what: str) -> typer.models.OptionInfo:
    return _option(f"--{what}", f"Factor f: each layout's {what} is scaled by a factor drawn from 1/f to f.", DYNAMICS)


ProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="A named protocol (see `maa-bench list protocols`) or the path of your own TOML file: all its conditions.",
        show_default="the numbers below",
        rich_help_panel=PANEL,
    ),
]
ConditionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--conditions",
        help="Of --protocol, only the base and these axes: a,b or repeated; base alone for no axis.",
        show_default="all",
        rich_help_panel=PANEL,
    ),
]
ShotsOption = Annotated[int, _option("--shots", "Prompts of each test task.")]
CandidatesOption = Annotated[int, _option("--candidates", "Agents generated for each task and seed.")]
EpisodesOption = Annotated[int, _option("--episodes", "Test layouts, one episode each, a candidate.")]
SelectOption = Annotated[int, _option("--select-episodes", "Layouts a candidate that may choose between candidates.")]
SourceOption = Annotated[
    str, _option("--prompt-source", "Whose trajectories the prompts are: trained, partial or expert.")
]
NoiseOption = Annotated[
    float, _option("--prompt-noise", "Gaussian noise on prompts, in standard deviations of each dimension.", PROMPTS)
]
DroppedOption = Annotated[float, _option("--dropped-steps", "Share of prompt steps lost; the last is held.", PROMPTS)]
StepsOption = Annotated[int, _option("--prompt-steps", "Steps after which prompts are cut off.", PROMPTS)]
ActionNoiseOption = Annotated[
    float, _option("--action-noise", "Gaussian noise on the actions that make the prompts; 1: the largest.", PROMPTS)
]
TestLayoutsOption = Annotated[
    str, _option("--test-layouts", "Layouts tested on: test, or train (those that data was made on).", DYNAMICS)
]
MassOption = Annotated[float, _dynamics("mass")]
FrictionOption = Annotated[float, _dynamics("friction")]
DampingOption = Annotated[float, _dynamics("damping")]
GainOption = Annotated[float, _dynamics("gain")]


def asked_for(
    context: typer.Context, name: str | None, only: Sequence[str] | None, scale: str, device: str
) -> tuple[NamedProtocol | None, list[Protocol]]:
    """The named protocol, if there is one, and the conditions to run.

    Args:
        context: of the command; its parameters have the names of settings.
        name: what `--protocol` names. only: its axes that are wanted; None for all.
        scale, device: as given.

    Raises:
        ProtocolError: a value out of its range; a setting given beside a protocol that settles it.
    """
    from maa_bench.errors import ProtocolError
    from maa_bench.named_protocol import SETTINGS, load_protocol

    own: dict[str, Any] = {"scale": scale, "device": device}
    settings: dict[str, Any] = {setting: context.params[setting] for setting in SETTINGS}
    if name is None:
        if only is not None:
            raise ProtocolError("--conditions are of a named protocol: it needs --protocol")
        return None, [Protocol(**own, **settings)]
    named = load_protocol(name)
    given = (s for s in settings if getattr(context.get_parameter_source(s), "name", "") == "COMMANDLINE")
    named.refuse_changes({setting: settings[setting] for setting in given})
    return named, named.conditions(only, **own)


def one_asked_for(context: typer.Context, name: str | None, condition: str | None, scale: str, device: str) -> Protocol:
    """One condition: the named protocol's of that label (default: its base), or that of the numbers given.

    Raises:
        ProtocolError: as `asked_for`; the protocol has no such condition.
    """
    from maa_bench.errors import ProtocolError, did_you_mean

    if name is None and condition is not None:
        raise ProtocolError("--condition is of a named protocol: it needs --protocol")
    _, found = asked_for(context, name, None, scale, device)
    by_label = {protocol.condition: protocol for protocol in found}
    wanted = condition or found[0].condition
    if wanted not in by_label:
        raise ProtocolError(f"--condition: protocol {name} has no {wanted!r}.{did_you_mean(wanted, by_label)}")
    return by_label[wanted]
