"""robosuite itself, imported without what it does to the process and says on the screen."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import mujoco

from maa_bench.compiled import cache_folder
from maa_bench.errors import SuiteError

ARMS = ("Panda", "Sawyer", "UR5e", "IIWA", "Kinova3", "Jaco")
TASKS = ("Lift", "Door", "Stack")
CONTROL_HZ = 20
MODEL_SEED = 0
"""Lift draws the size of its cube (4.0 to 4.4 cm) when a model is made: always the same one here."""

_CHATTER = (
    "No private macro file found!",
    "It is recommended to use a private macro file",
    "To setup, run: python ",
    "Could not import robosuite_models.",
    "Could not load the mink-based whole-body IK.",
)
"""Advice to people who change robosuite's settings or use its humanoids, given at every import."""


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_CHATTER)


def _imported() -> Any:
    """The package; its warnings are heard but for those that every import gives.

    It sets MUJOCO_GL for the whole process and keeps compiled functions beside its own files: here the first is taken
    back, and compiled functions go beside ours.
    """
    from numba import config as numba_config

    logging.getLogger("robosuite_logs").addFilter(_is_news)
    backend = os.environ.get("MUJOCO_GL")
    config: Any = numba_config
    before, folder = config.CACHE_DIR, cache_folder()
    if folder is not None:
        config.CACHE_DIR = str(Path(folder).parent / "robosuite")
    try:
        import robosuite
        import robosuite.controllers
    finally:
        config.CACHE_DIR = before
        if backend is None:
            os.environ.pop("MUJOCO_GL", None)
        else:
            os.environ["MUJOCO_GL"] = backend
    return robosuite


ROBOSUITE = _imported()


CONTROLLER_SETTINGS = {
    *("input_max", "input_min", "output_max", "output_min", "kp", "damping_ratio", "impedance_mode", "kp_limits"),
    *("damping_ratio_limits", "position_limits", "orientation_limits", "uncouple_pos_ori", "input_type"),
    *("input_ref_frame", "interpolation", "ramp_ratio"),
}
"""What robosuite 1.5.2's file of OSC_POSE holds. Without some it ends in a KeyError, without others in defaults."""


def controller() -> dict[str, Any]:
    """robosuite's own OSC_POSE and its gains, for one arm; actions are displacements in the world frame.

    By default they are displacements in the frame of a site of the arm, which on IIWA and Jaco turns with the first
    joint: the same action would mean another thing on another arm, and at another time.

    Raises:
        SuiteError: robosuite's file of it is missing or damaged.
    """
    # Read here: robosuite's own loader prints on the screen that it could not, and does not say which file.
    path = Path(ROBOSUITE.controllers.__file__).parent / "config" / "default" / "parts" / "osc_pose.json"
    try:
        part = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(part, dict) or part.get("type") != "OSC_POSE" or not part.keys() >= CONTROLLER_SETTINGS:
            raise ValueError("not OSC_POSE with all of its settings")
    except (OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = error.strerror or reason
        elif isinstance(error, json.JSONDecodeError):
            reason = f"no JSON: {error}"
        raise SuiteError(
            f"robosuite's controller config {path} cannot be read ({reason}): pip install --force-reinstall --no-deps "
            f"robosuite=={ROBOSUITE.__version__}"
        ) from None
    return {
        "type": "BASIC",
        "body_parts": {"right": {**part, "input_ref_frame": "world", "gripper": {"type": "GRIP"}}},
    }


def make(task: str, arm: str) -> Any:
    """A robosuite environment without renderers, whose resets keep its model and are those that make it anew."""
    env = ROBOSUITE.make(
        task,
        robots=arm,
        controller_configs=controller(),
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        control_freq=CONTROL_HZ,
        ignore_done=True,
        reward_shaping=True,
        hard_reset=False,
        seed=MODEL_SEED,
    )
    if arm == "Sawyer":
        _free_the_base(env.sim.model)
    _begin_as_if_made_anew(env)
    return env


def _begin_as_if_made_anew(env: Any) -> None:
    """Let resets that keep the model go on from the state in which resets that make it anew begin.

    Those run the physics forward once before anything is placed, with Door's door where the model's file has it. The
    solver starts from the accelerations found there, which decides last bits where a gripper's fingers close loops
    (UR5e, IIWA, Kinova3). A reset that keeps the model leaves that out, and the door where it stood before.
    """
    sim = env.sim
    compiled = mujoco.MjModel.from_xml_string(env.model.get_xml())
    positions, orientations = compiled.body_pos.copy(), compiled.body_quat.copy()
    reset = sim.reset

    def begin() -> None:
        reset()
        sim.model.body_pos[:], sim.model.body_quat[:] = positions, orientations
        sim.forward()

    sim.reset = begin


def _free_the_base(model: Any) -> None:
    """Let Sawyer turn: its first link touches its own pedestal, at a point whose normal is the axis of the joint.

    MuJoCo 3.3 answers any torque about that axis by friction there, so that robosuite 1.5.2's Sawyer stands still in
    its first joint and gets sideways by the others alone, half as far in 60 steps. Geoms collide if the
    `contype` of one meets the `conaffinity` of the other: with bit 2 alone in both, this pair is left out, and those
    with others stay.
    """
    for name in ("robot0_link0_collision", "robot0_base_col"):
        model.geom_contype[model.geom_name2id(name)] = 2
