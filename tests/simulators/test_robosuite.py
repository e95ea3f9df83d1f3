"""Real robosuite: what the suite reads off it and puts into it, held against robosuite's own accounts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import ks_2samp

from maa_bench import doctor, gl
from maa_bench.errors import SuiteError
from maa_bench.simulators import check_tasks, simulator_of
from maa_bench.simulators.freeze import freeze
from maa_bench.suite import LAYOUT_SETS, Task, load_suite

pytest.importorskip("robosuite")

from tiers import mostly_heavy

from maa_bench.simulators import robosuite as ours
from maa_bench.simulators.robosuite import upstream
from maa_bench.simulators.robosuite.stock import POSE, StockTask
from maa_bench.simulators.robosuite.upstream import ARMS

pytestmark = [pytest.mark.simulator]

SUITE = load_suite("robosuite-v1")
QUICK = ("lift-panda", "door-sawyer", "stack-ur5e")
"""Each task once, and arms with seven and with six joints. The others are heavy."""

every_task = pytest.mark.parametrize("task", mostly_heavy(QUICK, tuple(SUITE.tasks)))


@cache
def stock(task: str) -> StockTask:
    return StockTask(SUITE.task(task))


def moved(task: str, layout: int = 0, steps: int = 12, seed: int = 0) -> tuple[StockTask, Any]:
    """A task after some steps of random actions, and its observation."""
    simulator, rng = stock(task), np.random.default_rng(seed)
    obs = simulator.reset(SUITE.layouts(task, "train")[layout])
    for _ in range(steps):
        obs, _ = simulator.step(rng.uniform(-1, 1, 7))
    return simulator, obs


def columns(matrix: Any) -> Any:
    return np.concatenate([matrix[:, 0], matrix[:, 1]])


@every_task
def test_the_observation_is_what_robosuite_says_of_the_state(task: str) -> None:
    simulator, obs = moved(task)
    theirs = simulator.env._get_observations(force_update=True)
    data = simulator.env.sim.data
    hand = Rotation.from_quat(theirs["robot0_eef_quat_site"])
    position = theirs["robot0_eef_pos"]
    np.testing.assert_array_equal(obs[:3], position)
    np.testing.assert_allclose(obs[3:9], columns(hand.as_matrix()), atol=1e-6)  # robosuite's quaternion is float32
    kind = SUITE.task(task).env
    if kind == "Door":
        thing, turned = theirs["handle_pos"], data.site_xmat[simulator.env.door_handle_site_id].reshape(3, 3)
        np.testing.assert_array_equal(obs[42:44], np.ravel([theirs["hinge_qpos"], theirs["handle_qpos"]]))
    else:
        name = "cube" if kind == "Lift" else "cubeA"
        thing, turned = theirs[f"{name}_pos"], Rotation.from_quat(theirs[f"{name}_quat"]).as_matrix()
        np.testing.assert_array_equal(obs[42:44], 0.0)
    np.testing.assert_array_equal(obs[13:16], thing)
    np.testing.assert_allclose(obs[16:22], columns(turned), atol=1e-6)
    matrix = np.column_stack([obs[3:6], obs[6:9], np.cross(obs[3:6], obs[6:9])])
    np.testing.assert_allclose(obs[22:25], matrix.T @ (thing - position), atol=1e-12)
    np.testing.assert_allclose(obs[25:31], columns(matrix.T @ turned), atol=1e-6)
    goal = obs[33:36]
    if kind == "Lift":
        np.testing.assert_allclose(goal, [thing[0], thing[1], 0.84], atol=1e-12)
    elif kind == "Stack":
        np.testing.assert_allclose(goal, theirs["cubeB_pos"] + [0, 0, 0.045], atol=1e-12)
    np.testing.assert_allclose(obs[36:39], matrix.T @ (goal - position), atol=1e-12)
    np.testing.assert_allclose(obs[39:42], goal - thing, atol=1e-12)
    gap = [
        np.mean(
            [data.get_geom_xpos(name) for name in simulator.env.robots[0].gripper["right"].important_geoms[side]], 0
        )
        for side in ("left_fingerpad", "right_fingerpad")
    ]
    np.testing.assert_allclose(obs[44], np.linalg.norm(gap[0] - gap[1]), atol=1e-12)
    assert obs.shape == (SUITE.policy.obs_dim,)


@every_task
def test_the_velocity_is_jacobian_times_joint_velocity(task: str) -> None:
    simulator, _ = moved(task)
    simulator.env.sim.forward()  # positions of bodies are 2 ms older than velocities of joints before it
    site = simulator.env.robots[0].gripper["right"].important_sites["grip_site"]
    velocity = simulator.env.sim.data.get_site_xvelp(site)
    assert np.linalg.norm(velocity) > 0.01
    np.testing.assert_allclose(simulator._observe()[9:12], velocity, atol=1e-12)


def test_the_velocity_is_the_change_of_the_position() -> None:
    """Between two observations 50 ms apart, of a steady motion."""
    simulator = stock("lift-panda")
    obs = simulator.reset(SUITE.layouts("lift-panda", "train")[0])
    seen = [obs]
    for _ in range(8):
        seen.append(simulator.step(np.array([0.5, 0, 0, 0, 0, 0, 0]))[0])
    change = (seen[-1][:3] - seen[-2][:3]) * 20
    between = (seen[-1][9:12] + seen[-2][9:12]) / 2
    assert np.linalg.norm(change) > 0.1
    np.testing.assert_allclose(between, change, atol=0.02)


def test_a_cube_turned_by_a_quarter_looks_the_same_in_entries_31_and_32() -> None:
    simulator, layout = stock("lift-panda"), SUITE.layouts("lift-panda", "train")[0].copy()
    found = []
    for angle in (0.3, 0.3 + np.pi / 2, 0.3 + np.pi, 0.3 + np.pi / 4):
        layout[10:] = np.cos(angle / 2), 0, 0, np.sin(angle / 2)
        found.append(simulator.reset(layout)[31:33])
    np.testing.assert_allclose(found[1:3], [found[0]] * 2, atol=1e-12)
    np.testing.assert_allclose(found[3], -found[0], atol=0.1)  # the hand is tilted a little
    assert np.linalg.norm(found[0]) == pytest.approx(1.0, abs=0.1)


def test_the_doors_goal_is_where_its_handle_is_when_it_stands_open() -> None:
    simulator = stock("door-sawyer")
    layout = SUITE.layouts("door-sawyer", "train")[0]
    goal = simulator.reset(layout)[33:36]
    data, env = simulator.env.sim.data, simulator.env
    data.qpos[env.hinge_qpos_addr] = 0.3
    env.sim.forward()
    np.testing.assert_allclose(data.site_xpos[env.door_handle_site_id], goal, atol=1e-9)
    assert not env._check_success()
    data.qpos[env.hinge_qpos_addr] = 0.3001
    assert env._check_success()


@pytest.mark.parametrize("arm", ["Panda", *(pytest.param(arm, marks=pytest.mark.heavy) for arm in ARMS[1:])])
def test_the_gripper_opens_to_1_and_closes_as_far_as_its_pads_let_it(arm: str) -> None:
    closed = {"Sawyer": 0.28, "UR5e": 0.36, "IIWA": 0.31, "Kinova3": 0.36}.get(arm, 0.0)  # as docs/robosuite.md says
    simulator = stock(f"lift-{arm.lower()}")
    simulator.reset(SUITE.layouts(f"lift-{arm.lower()}", "train")[0])
    for command, wanted in ((-1.0, 1.0), (1.0, closed)):
        for _ in range(230 if arm == "Jaco" else 40):  # Jaco's fingers take a two-hundredth of their way a step
            obs, _ = simulator.step(np.array([0, 0, 0, 0, 0, 0, command]))
        assert obs[12] == pytest.approx(wanted, abs=0.05 if closed else 0.12), command
        assert 0.0 <= obs[44] < 0.2


@every_task
def test_a_layout_is_put_exactly_and_nothing_else_matters(task: str) -> None:
    simulator, layouts = stock(task), SUITE.layouts(task, "test")
    n = len(simulator.start)
    first = simulator.reset(layouts[3])
    robot, data = simulator.env.robots[0], simulator.env.sim.data
    np.testing.assert_array_equal(data.qpos[robot._ref_joint_pos_indexes], layouts[3][:n])
    poses = layouts[3][n:].reshape(-1, POSE)
    for thing, pose in zip(simulator.sampler.mujoco_objects, poses, strict=True):
        body = simulator.env.sim.model.body_name2id(thing.root_body)
        np.testing.assert_array_equal(data.body_xpos[body], pose[:3])
        np.testing.assert_allclose(data.body_xquat[body], pose[3:], atol=1e-15)
    after = [first, *(simulator.step(action)[0] for action in np.random.default_rng(1).uniform(-1, 1, (3, 7)))]
    simulator.reset(layouts[4])
    simulator.step(np.ones(7))
    np.random.seed(3)  # noqa: NPY002 - it must not matter
    again = [simulator.reset(layouts[3])]
    again += [simulator.step(action)[0] for action in np.random.default_rng(1).uniform(-1, 1, (3, 7))]
    assert np.array(again).tobytes() == np.array(after).tobytes()


@every_task
def test_layouts_are_drawn_again_with_the_same_bytes(task: str) -> None:
    for layout_set in LAYOUT_SETS:
        drawn = ours.draw_layouts(SUITE.task(task), layout_set, 2)
        assert drawn.tobytes() == SUITE.layouts(task, layout_set)[:2].tobytes()


@pytest.mark.heavy
def test_the_layout_file_is_made_again() -> None:
    assert freeze(SUITE) == SUITE.layout_path.read_bytes()


@pytest.mark.parametrize("kind", ["lift", "stack", "door"])
def test_layouts_are_distributed_as_robosuites_own_resets_are(kind: str) -> None:
    """Its own sampler and joint noise, by its own generator: two-sample tests number by number."""
    task = f"{kind}-panda"
    layouts = SUITE.layouts(task, "test")
    env = upstream.make(SUITE.task(task).env, "Panda")
    own = []
    for _ in range(200):
        env.reset()
        parts = [env.sim.data.qpos[env.robots[0]._ref_joint_pos_indexes]]
        for thing in env.placement_initializer.mujoco_objects:
            body = env.sim.model.body_name2id(thing.root_body)
            parts += [env.sim.data.body_xpos[body], env.sim.data.body_xquat[body]]
        own.append(np.concatenate(parts))
    theirs = np.array(own)
    for number in range(layouts.shape[1]):
        mine, drawn = layouts[:, number], theirs[:, number]
        if np.ptp(drawn) < 1e-9:
            np.testing.assert_allclose(mine, drawn[0], atol=1e-9)
        else:
            # A quaternion and its opposite are one rotation.
            assert ks_2samp(np.abs(mine), np.abs(drawn)).pvalue > 1e-4, f"number {number}"


def test_objects_lie_at_the_same_places_for_all_arms() -> None:
    for kind in ("lift", "stack", "door"):
        panda = SUITE.layouts(f"{kind}-panda", "test")[:, 7:]
        for arm in ARMS[1:]:
            other = SUITE.layouts(f"{kind}-{arm.lower()}", "test")
            np.testing.assert_array_equal(other[:, 6 if arm == "UR5e" else 7 :], panda)


def pushed_aside(simulator: StockTask) -> tuple[float, float]:
    """An action that pushes the hand to the side, for 60 steps: radians of the first joint, metres of the hand."""
    start = simulator.reset(SUITE.layouts("door-sawyer", "train")[0])
    joint = simulator.env.robots[0]._ref_joint_pos_indexes[0]
    before = simulator.data.qpos[joint]
    for _ in range(60):
        obs, _ = simulator.step(np.array([0, 1.0, 0, 0, 0, 0, 0]))
    return float(simulator.data.qpos[joint] - before), float(obs[1] - start[1])


def test_sawyer_turns_in_its_base() -> None:
    turn, way = pushed_aside(stock("door-sawyer"))
    assert turn > 0.5
    assert way == pytest.approx(0.65, abs=0.01)  # as docs/robosuite.md says


def test_robosuites_own_sawyer_does_not_turn_in_its_base() -> None:
    """The hand gets to the side all the same, by the other joints, but half as far."""
    simulator = StockTask(SUITE.task("door-sawyer"))
    for name in ("robot0_link0_collision", "robot0_base_col"):
        simulator.model.geom_contype[simulator.env.sim.model.geom_name2id(name)] = 1  # as in robosuite's own model
    turn, way = pushed_aside(simulator)
    assert abs(turn) < 0.01
    assert way == pytest.approx(0.36, abs=0.01)


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        ("Lift", {"arm": "Pandas"}, r"no arm 'Pandas' here, only Panda, .*Did you mean 'Panda'\?"),
        ("Lift", {}, r"options are {}; robosuite tasks need { arm = \"Panda\" }"),
        ("Lift", {"arm": "Panda", "speed": 2}, r"'speed': 2.*and nothing else"),
        ("Lfit", {"arm": "Panda"}, r"env 'Lfit' is none of Lift, Door, Stack\. Did you mean 'Lift'\?"),
    ],
)
def test_what_robosuite_has_not_is_named(env: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError, match=message) as error:
        ours.open_task(Task("mine", env, options))
    assert "\n" not in str(error.value)


def test_a_layout_of_another_arm_or_task_is_refused() -> None:
    simulator = stock("lift-panda")
    for other, message in (
        ("stack-panda", "has 14 numbers, not 21"),
        ("lift-ur5e", "has 14 numbers, not 13"),
        ("lift-sawyer", "begins with Panda's initial joint positions"),
    ):
        with pytest.raises(SuiteError, match=message) as error:
            simulator.reset(SUITE.layouts(other, "test")[0])
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("task", "other"), [("lift-panda", "door-panda"), ("door-panda", "lift-panda")])
def test_a_layout_of_another_task_of_the_same_length_is_refused(task: str, other: str) -> None:
    with pytest.raises(SuiteError, match="the layout belongs to another task"):
        stock(task).reset(SUITE.layouts(other, "test")[0])


@pytest.mark.parametrize("height", [-3.0, 0.6, 1.1, 5.0])
def test_an_object_that_no_sampler_puts_so_high_is_refused(height: float) -> None:
    """From the middle of the table up: Lift would have succeeded before its first step."""
    layout = SUITE.layouts("lift-panda", "test")[0].copy()
    layout[-5] = height
    with pytest.raises(SuiteError, match="an object lies outside the region of Lift's"):
        stock("lift-panda").reset(layout)


@pytest.mark.parametrize("options", [{"arm": "Sawyr"}, {}])
def test_a_wrong_arm_is_told_before_any_work(options: dict[str, str]) -> None:
    tasks = {**SUITE.tasks, "lift-sawyer": replace(SUITE.task("lift-sawyer"), options=options)}
    with pytest.raises(SuiteError, match="task 'lift-sawyer': "):
        check_tasks(replace(SUITE, tasks=tasks), ["lift-panda", "lift-sawyer"])


def test_a_layout_of_another_shape_is_refused_by_its_shape() -> None:
    with pytest.raises(SuiteError, match="has 14 numbers, not 2 x 7: it"):
        stock("lift-panda").reset(SUITE.layouts("lift-panda", "test")[0].reshape(2, 7))


def test_a_layout_whose_quaternion_is_none_is_refused() -> None:
    layout = SUITE.layouts("lift-panda", "test")[0].copy()
    layout[-4:] = 0
    with pytest.raises(SuiteError, match="a layout's quaternion is not of length 1; draw them anew"):
        stock("lift-panda").reset(layout)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ('{"type": ', "no JSON: "),
        ("[]", "not OSC_POSE with all of its settings"),
        ("{}", "not OSC_POSE with all of its settings"),
        ('{"type": "OSC_POSE"}', "not OSC_POSE with all of its settings"),
    ],
)
def test_a_controller_config_that_cannot_be_read_is_named(
    content: str | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config" / "default" / "parts").mkdir(parents=True)
    path = tmp_path / "config" / "default" / "parts" / "osc_pose.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(upstream.ROBOSUITE.controllers, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(SuiteError) as error:
        StockTask(SUITE.task("lift-panda"))
    assert str(error.value).startswith(f"robosuite's controller config {path} cannot be read ({reason}")
    assert str(error.value).endswith("pip install --force-reinstall --no-deps robosuite==1.5.2")
    assert capsys.readouterr() == ("", "")


def test_the_controller_is_robosuites_but_for_its_frame() -> None:
    theirs = upstream.ROBOSUITE.controllers.load_part_controller_config(default_controller="OSC_POSE")
    part = dict(upstream.controller()["body_parts"]["right"])
    assert part.pop("gripper") == {"type": "GRIP"}
    assert part == theirs | {"input_ref_frame": "world"}


SILENT = """
import os
import numpy as np
from maa_bench.simulators import simulator_of
from maa_bench.simulators.freeze import freeze
from maa_bench.suite import load_suite
suite = load_suite("robosuite-v1")
simulator = simulator_of(suite).open_task(suite.task("lift-panda"))
simulator.reset(suite.layouts("lift-panda", "test")[0])
simulator.step(np.zeros(7))
assert os.environ.get("MUJOCO_GL") == os.environ.get("WANTED"), os.environ.get("MUJOCO_GL")
"""


@pytest.mark.parametrize("backend", [None, "osmesa"])
def test_robosuite_says_nothing_and_leaves_the_environment_alone(backend: str | None, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "WANTED", "DISPLAY")}
    if backend:
        if not gl.works(backend):
            pytest.skip(f"MuJoCo cannot draw with {backend} here, and stops where it is imported")
        environment |= {"MUJOCO_GL": backend, "WANTED": backend}
    done = subprocess.run(
        [sys.executable, "-c", SILENT], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_machine_of_other_arithmetic_gets_stock_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "same_arithmetic", lambda: False)
    assert type(ours.open_task(SUITE.task("lift-panda"))) is StockTask
    check = doctor._suite_speed(SUITE.name)
    assert check.status == doctor.WARNING
    assert check.detail == f"compiled loop for 0 of 18 tasks; stock loop for {', '.join(SUITE.tasks)}"


def test_a_wrong_arm_is_named_where_its_speed_is_asked_for() -> None:
    with pytest.raises(SuiteError, match=r"no arm 'Sawyr' here"):
        ours.has_fast_path(Task("lift", "Lift", {"arm": "Sawyr"}))


def test_the_versions_that_decide_are_told() -> None:
    assert simulator_of(SUITE).versions() == {"mujoco": "3.3.0", "robosuite": "1.5.2"}
