"""`maa-bench render`: videos of generated policies."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maa_bench.cli.options import (
    DEFAULT_SUITE,
    CacheDirOption,
    JsonOption,
    QuietOption,
    ScaleOption,
    SuiteOption,
    examples,
)
from maa_bench.cli.protocol_options import (
    PANEL,
    ActionNoiseOption,
    CandidatesOption,
    DampingOption,
    DroppedOption,
    EpisodesOption,
    FrictionOption,
    GainOption,
    MassOption,
    NoiseOption,
    SelectOption,
    ShotsOption,
    SourceOption,
    StepsOption,
    TestLayoutsOption,
    one_asked_for,
)
from maa_bench.protocol import Protocol

if TYPE_CHECKING:
    from maa_bench.video.cells import FinishedCell
    from maa_bench.video.job import Look, Video


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench render --task window-close", "Make-An-Agent's first success, first failure and a grid"),
            ("maa-bench render --suite toy-v1 --task goal-030 --method random_seen --what grid", "six candidates"),
            ("maa-bench render --split seen --task door-open --method expert --what success --format gif", "a gif"),
            (
                "maa-bench render --task window-close --protocol environment-v1 --condition damping=4",
                "one condition of a named protocol",
            ),
            ("maa-bench render --task reach-wall --size 640x480 --out films --json", "larger; the list for programs"),
        )
    )(render)


def render(
    context: typer.Context,
    method: Annotated[str, typer.Option("--method", help="Registered name or package.module:Class.")] = "make_an_agent",
    suite: SuiteOption = DEFAULT_SUITE,
    split: Annotated[str, typer.Option("--split", help="A split of the suite (seen, unseen).")] = "unseen",
    task: Annotated[
        str | None, typer.Option("--task", help="One test task of the split.", show_default="none: it must be named")
    ] = None,
    what: Annotated[str, typer.Option("--what", help="success, failure, grid (of candidates) or all.")] = "all",
    out: Annotated[Path, typer.Option("--out", help="Folder of the videos.")] = Path("videos"),
    video_format: Annotated[
        str | None, typer.Option("--format", help="mp4 or gif.", show_default="mp4 if it can be written, else gif")
    ] = None,
    size: Annotated[str, typer.Option("--size", help="Width and height of one view, in pixels.")] = "320x240",
    fps: Annotated[int, typer.Option("--fps", help="Frames a second.")] = 20,
    tiles: Annotated[int, typer.Option("--tiles", help="Candidates in the grid, at most.")] = 6,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="The named protocol of the run, or the path of its TOML file.",
            show_default="the numbers below",
            rich_help_panel=PANEL,
        ),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option("--condition", help="Of --protocol, e.g. mass=2.", show_default="base", rich_help_panel=PANEL),
    ] = None,
    shots: ShotsOption = Protocol.shots,
    candidates: CandidatesOption = Protocol.candidates,
    episodes: EpisodesOption = Protocol.episodes,
    select_episodes: SelectOption = Protocol.select_episodes,
    prompt_source: SourceOption = Protocol.prompt_source,
    prompt_noise: NoiseOption = Protocol.prompt_noise,
    dropped_steps: DroppedOption = Protocol.dropped_steps,
    prompt_steps: StepsOption = Protocol.prompt_steps,
    action_noise: ActionNoiseOption = Protocol.action_noise,
    test_layouts: TestLayoutsOption = Protocol.test_layouts,
    mass: MassOption = Protocol.mass,
    friction: FrictionOption = Protocol.friction,
    damping: DampingOption = Protocol.damping,
    gain: GainOption = Protocol.gain,
    seed: Annotated[int, typer.Option("--seed", help="The training seed of the run.")] = 0,
    scale: ScaleOption = Protocol.scale,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda, as in the run.")] = Protocol.device,
    cache_dir: CacheDirOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what a run has measured: the first success, the first failure, candidates side by side.

    The episodes are those of a finished `maa-bench run` in the cache, under the same settings. A video ends a second
    after the first success, or at the horizon.
    """
    from maa_bench.cli.output import print_json, stdout_reserved
    from maa_bench.errors import DrawingError
    from maa_bench.progress import Progress
    from maa_bench.video import job
    from maa_bench.video.cells import find_cell

    if ":" in method:
        sys.path.append(str(Path.cwd()))  # as `run` does
    wanted = job.kinds(what)
    look = job.Look(*_size(size), fps, tiles, video_format)
    asked = one_asked_for(context, protocol, condition, scale, device)
    with stdout_reserved():  # a method's module may print
        cell = find_cell(method, suite, split, task, asked, seed, cache_dir)
        videos = job.render(cell, wanted, look, out, Progress(quiet))
    missing = [kind for kind in wanted if kind not in [video.what for video in videos]]
    if not videos:
        raise DrawingError(f"{_no_episode(cell, missing[0])}: nothing to show")
    if as_json:
        print_json(_report(cell, videos, missing, look))
        return
    for video in videos:
        print(f"{video.file}: {_describe(video, look)}")
    for kind in missing:
        print(f"no video of a {kind}: {_no_episode(cell, kind)}")


def _size(text: str) -> tuple[int, int]:
    from maa_bench.errors import DrawingError

    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not match:
        raise DrawingError(f"--size must be WIDTHxHEIGHT in pixels, such as 320x240, not {text!r}")
    return int(match[1]), int(match[2])


def _describe(video: Video, look: Look) -> str:
    first = video.episodes[0]
    if video.what == "grid":
        wins = sum(episode.first_success > 0 for episode in video.episodes)
        text = f"{wins} of {len(video.episodes)} candidates succeed on test layout {first.layout}"
    else:
        none = first.broke_off or f"no success in {first.horizon} steps"
        end = f"success at step {first.first_success}" if first.first_success > 0 else none
        text = f"candidate {first.candidate}, test layout {first.layout}, {end}"
    pace = "real time" if video.speed == 1 else f"{video.speed:.2g} of real time"
    return f"{text}; {video.every * look.fps} steps a second ({pace})"


def _no_episode(cell: FinishedCell, kind: str) -> str:
    end = "succeeded" if kind == "success" else "failed"
    return f"no test episode of {cell.card.name} on {cell.task} {end}"


def _report(cell: FinishedCell, videos: list[Video], missing: list[str], look: Look) -> dict[str, Any]:
    return {
        "method": cell.card.name,
        "suite": cell.plan.suite.name,
        "split": cell.plan.split.name,
        "task": cell.task,
        "seed": cell.plan.base_seed,
        "videos": [
            {
                "what": video.what,
                "file": str(video.file),
                "frames": video.frames,
                "fps": look.fps,
                "steps_per_frame": video.every,
                "speed": video.speed,
                "episodes": [
                    {
                        "candidate": e.candidate,
                        "layout": e.layout,
                        "first_success_step": e.first_success,
                        "broke_off": e.broke_off or None,
                    }
                    for e in video.episodes
                ],
            }
            for video in videos
        ],
        "missing": missing,
    }
