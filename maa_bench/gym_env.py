"""A benchmark task as a Gymnasium environment; `maa_bench.gym_ids` registers one id a task."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from maa_bench.errors import OptionError, did_you_mean
from maa_bench.simulators import EpisodeError, Float64, Pixels, simulator_of
from maa_bench.suite import load_suite

Action = npt.NDArray[np.floating]


class TaskEnv(gym.Env[Float64, Action]):
    """One task of a suite, started from its frozen layouts.

    Observations are the simulator's own, (obs_dim,) float64, byte for byte those of `maa-bench run`; actions are
    (action_dim,) in [-1, 1]. An episode is terminated by its first success, as the benchmark's are, and truncated at
    the suite's horizon by the `TimeLimit` that `gymnasium.make` adds; also by an action that is no number and by a
    simulation that diverges, as both end the benchmark's episodes. `info` holds `layout` (int, index within the layout
    set), `success` (bool, of this very step) and, in the last case, `failure` (the reason).

    Attributes:
        layouts: the initial states of the layout set, (n_layouts, layout_dim) float64, read-only.
        metadata: an environment's own has `render_fps`, too: its control steps a second, for videos in real time.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(
        self,
        suite: str,
        task: str,
        *,
        layout_set: str = "train",
        terminate_on_success: bool = True,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
    ) -> None:
        """Open the task.

        Args:
            suite: name of a suite, or path of a suite's TOML file.
            task: name of one of its tasks.
            layout_set: `train`, `select` or `test`. Train on `train`; `test` is for what is reported.
            terminate_on_success: whether an episode ends at its first success. Without, it goes on to the horizon.
            render_mode: None or `rgb_array`.
            width, height: of rendered frames, in pixels.

        Raises:
            SuiteError: unknown suite, task or layout set, or a simulator that is missing or of another version.
            OptionError: an unknown render mode or a size that is no positive number.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise OptionError(f"unknown render_mode {render_mode!r}: 'rgb_array' or None")
        if not (_is_integer(width) and _is_integer(height) and width > 0 and height > 0):
            raise OptionError(f"width and height must be numbers of pixels, not {width!r} and {height!r}")
        loaded = load_suite(suite)
        self.layouts = loaded.layouts(task, layout_set)
        self.render_mode = render_mode
        simulator = simulator_of(loaded)
        self.metadata = {**self.metadata, "render_fps": simulator.CONTROL_HZ}
        self._simulator = simulator.open_task(loaded.task(task))
        self._layout = 0
        self._obs, self._steps = np.zeros(loaded.policy.obs_dim), 0
        self._terminate_on_success = terminate_on_success
        self._size = (width, height)
        low, high = self._simulator.observation_bounds()
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float64)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (loaded.policy.action_dim,), dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float64, dict[str, Any]]:
        """Start an episode from `options["layout"]` (int), or from a layout drawn with `self.np_random`.

        Raises:
            OptionError: an unknown option, or a layout that the set does not have.
        """
        super().reset(seed=seed)
        self._layout = self._choose_layout(options or {})
        self._obs, self._steps = self._simulator.reset(self.layouts[self._layout]), 0
        return self._obs.copy(), self._info(success=False)

    def step(self, action: Action) -> tuple[Float64, float, bool, bool, dict[str, Any]]:
        """One control step; the reward is the simulator's own.

        Raises:
            OptionError: an action of another shape than the action space's.
        """
        if np.shape(action) != self.action_space.shape:
            raise OptionError(f"an action has shape {self.action_space.shape}, not {np.shape(action)}")
        self._steps += 1
        try:
            if not np.isfinite(action).all():
                raise EpisodeError.of_action(self._steps)
            self._obs, success = self._simulator.step(action)
        except EpisodeError as error:
            return self._obs.copy(), 0.0, False, True, {**self._info(success=False), "failure": error.reason}
        terminated = success and self._terminate_on_success
        return self._obs.copy(), self._simulator.reward, terminated, False, self._info(success)

    def render(self) -> Pixels | None:
        """The current state: (height, width, 3) uint8; None, with a warning, if the environment has no render mode.

        Raises:
            DrawingError: nothing can be drawn on this machine.
        """
        if self.render_mode is None:
            gym.logger.warn("render() was called, but render_mode is None: make the environment with 'rgb_array'")
            return None
        return self._simulator.frame(*self._size)

    def _choose_layout(self, options: dict[str, Any]) -> int:
        for key in options:
            if key != "layout":
                raise OptionError(f"unknown reset option {key!r}.{did_you_mean(key, ['layout'])}")
        if "layout" not in options:
            return int(self.np_random.integers(len(self.layouts)))
        index = options["layout"]
        if not (_is_integer(index) and 0 <= index < len(self.layouts)):
            raise OptionError(f"option 'layout' must be an integer from 0 to {len(self.layouts) - 1}, not {index!r}")
        return int(index)

    def _info(self, success: bool) -> dict[str, Any]:
        return {"layout": self._layout, "success": success}


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
