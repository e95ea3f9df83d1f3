"""Getting a Ray cluster, quietly: one of our own on this machine, or one that runs; and a look at its nodes."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maa_bench.errors import ClusterError
from maa_bench.execution import ATTEMPTS, ray_node
from maa_bench.execution.threads import available_cores

CONNECT_SECONDS = 5.0
"""How long an address may take to answer. Ray itself would try for minutes."""

INSPECT_SECONDS = 120.0
"""How long a node may take to import maa-bench and look around."""

START = "start one with `ray start --head`; if there is one, set RAY_AUTH_MODE as it was started: see docs/cluster.md"

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # Ray's account of every worker that died, printed to standard output
    # Tasks that ask Ray for no GPU still see it, as they do without Ray; this also ends a warning.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(ATTEMPTS - 1),  # Ray's own default is for ever
}


def quieten() -> None:
    """Settle what Ray takes from the environment, some of it when it is imported; the user's own settings stay."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[bool]:
    """Be connected to a Ray cluster; a connection that this process has already is used and kept. Gives whether the
    cluster was started here.

    Args:
        address: of a running cluster (`auto`: the one on this machine); None starts one here, which ends with this.
        workers: CPUs of one that is started here; default: all cores.

    Raises:
        ClusterError: Ray is not installed, or there is no such cluster.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterError("--backend ray needs Ray, which is not installed: pip install 'maa-bench[ray]'")
    quieten()
    import ray

    if ray.is_initialized():
        yield False
        return
    try:
        if address is None:
            # On the loopback device: it needs no network, and nobody else's processes can reach it.
            _init(address="local", num_cpus=workers or available_cores(), _node_ip_address="127.0.0.1")
        else:
            if address == "auto":
                address = os.environ.get("RAY_ADDRESS", "auto")
            _check_address(address)
            _init(address=address)
        yield address is None
    finally:
        ray.shutdown()


def _init(**options: Any) -> None:
    """`ray.init` without its words on the screen, and with our SIGTERM handler afterwards instead of Ray's."""
    import ray

    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    if options["address"] == "local":
        options["include_dashboard"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if options["address"] == "local":
            raise ClusterError(f"cannot start Ray on this machine: {reason}") from error
        if isinstance(error, ConnectionError):
            raise ClusterError(f"no Ray cluster at {options['address']}: {reason} ({START})") from error
        raise ClusterError(f"cannot use the Ray cluster at {options['address']}: {reason}") from error
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _check_address(address: str) -> None:
    if address == "auto":
        return
    import ray

    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ClusterError(
            f"--address must be auto or host:port, not {address!r}; run this on one of the cluster's own nodes"
        )
    if host in ("127.0.0.1", "localhost"):
        host = ray.util.get_node_ip_address()  # as Ray will
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {address}: {error} ({START})") from error


def check_nodes(shared: Path | None) -> None:
    """Check that every node has our software and sees a folder.

    Raises:
        ClusterError: one does not, or cannot say.
    """
    if shared is None:
        _check_nodes(None)
        return
    shared.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=shared.resolve(), prefix=".ray-check.") as marker:
        _check_nodes(marker.name)


def _check_nodes(marker: str | None) -> None:
    import ray

    look = ray.remote(num_cpus=0, max_retries=0)(ray_node.inspect)
    nodes = working_nodes()
    if not nodes:
        raise ClusterError("no node of the Ray cluster has a CPU to offer")
    asked = [(name, look.options(scheduling_strategy=on_node(node)).remote(marker)) for node, name in nodes.items()]
    ray.wait([ref for _, ref in asked], num_returns=len(asked), timeout=INSPECT_SECONDS)
    for name, ref in asked:
        try:
            identity, seen = ray.get(ref, timeout=0)
        except Exception as error:
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise ClusterError(
                f"node {name} cannot run maa-bench ({last[0]}): install the same version there"
            ) from error
        if others := ray_node.difference(ray_node.identity(), identity):
            raise ClusterError(f"node {name} differs from this one: {others}. Other versions may give other results")
        if not seen and marker is not None:
            raise ClusterError(
                f"node {name} cannot see, or not write to, the cache folder {Path(marker).parent}: "
                "choose one that all nodes share (--cache-dir)"
            )


def working_nodes() -> dict[str, str]:
    """Address by id of the nodes that offer CPUs."""
    import ray

    return {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    }


def on_node(node: str) -> Any:
    """Ray's way to say: there, or nowhere."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=False)
