"""`data push` and `data pull`: folders and the Hub, whole or not at all, and nothing believed that can be checked."""

from __future__ import annotations

import fnmatch
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from refusals import refused

from maa_bench.cli import main
from maa_bench.dataset import share
from maa_bench.dataset.schema import FORMAT
from maa_bench.dataset.share import hub_id
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError
from maa_bench.files import hashes, sha256_of

SHARD = "checkpoints/goal-090/train-00.parquet"

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run `data <verb> ...` in this process, in an empty folder, with a cache of its own: code, out, err."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(verb: str, *args: object, cache: Path = tmp_path / "new-cache", suite: object = tiny_suite) -> Any:
        options = ["--suite", str(suite), "--cache-dir", str(cache), "--quiet"]
        code = main(["data", verb, *map(str, args), *options])
        return (code, *capfd.readouterr())

    return run


@pytest.fixture
def folder(tiny_cache_copy: Path) -> Path:
    """The tiny dataset's folder, to be damaged."""
    (found,) = (tiny_cache_copy / "datasets").iterdir()
    return found


def shared_files(folder: Path) -> dict[str, str]:
    """A dataset without the builder's own notes."""
    return {name: sha for name, sha in hashes(folder).items() if not name.startswith("build")}


def edit_manifest(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def left_in(folder: Path) -> list[str]:
    """What lies in a folder, hidden files, too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Which place is meant


def test_a_place_is_a_folder_or_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_id("user/name") == "user/name"
    assert hub_id("hf://datasets/user/name") == "user/name"
    for folder in ("./user/name", "/user/name", "~/name", "../x", "."):
        assert hub_id(folder) is None
    (tmp_path / "user" / "name").mkdir(parents=True)
    assert hub_id("user/name") is None, "a folder that is there is meant"
    assert hub_id("hf://datasets/user/name") == "user/name"
    for neither in ("name", "a/b/c", "hf://datasets/name", "hf://models/user/name", "user/na me"):
        with pytest.raises(DataError, match="neither a folder that is there"):
            hub_id(neither)


# Folders


def test_a_dataset_goes_to_a_folder_and_back(cli: Cli, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shared" / "tiny"
    assert cli("push", target, folder) == (0, f"{target}\n", "")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["shards"]) | {"manifest.json"} <= set(shared_files(target)) <= set(shared_files(folder))
    assert {name: shared_files(folder)[name] for name in shared_files(target)} == shared_files(target)
    assert not (target / "build").exists()
    assert left_in(tmp_path / "shared") == ["tiny"]

    code, out, err = cli("pull", target)
    assert (code, err) == (0, "")
    datasets, name = tmp_path / "new-cache" / "datasets", out.strip()
    assert left_in(datasets) == [name]
    assert name.startswith(f"{folder.name}.")
    assert shared_files(datasets / name) == shared_files(target)
    code, out, _ = cli("verify", name, "--sample", "6", "--workers", "1")
    assert code == 0
    assert "is sound" in out

    before = (datasets / name / SHARD).stat().st_mtime_ns
    assert cli("pull", target)[0] == 0
    assert (datasets / name / SHARD).stat().st_mtime_ns == before, "it was there already"
    (datasets / name / SHARD).unlink()
    assert cli("pull", target)[0] == 0
    assert shared_files(datasets / name) == shared_files(target), "a damaged one is made whole"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_damaged_shard_is_not_copied(
    cli: Cli, folder: Path, tmp_path: Path, verb: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / SHARD)
    ended = cli("push", tmp_path / "out" / "x", folder) if verb == "push" else cli("pull", folder)
    refused(ended, SHARD, "missing" if damage is Path.unlink else "truncated or altered", "nothing was copied")
    assert left_in(tmp_path / "out") == []
    assert left_in(tmp_path / "new-cache" / "datasets") == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(143)])
def test_an_interrupted_copy_leaves_nothing(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    copy, copied = share._copy_shard, []

    def copy_two(*args: Any) -> None:
        if len(copied) == 2:
            raise stop
        copied.append(copy(*args))

    monkeypatch.setattr(share, "_copy_shard", copy_two)
    with suppress(SystemExit):
        assert cli("pull", folder)[0] == 130
    assert len(copied) == 2
    assert left_in(tmp_path / "new-cache" / "datasets") == []


def test_too_little_disk_is_said_before_anything_is_copied(
    cli: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 9, 9))  # type: ignore[attr-defined]
    monkeypatch.setattr(share, "_copy_shard", lambda *args: pytest.fail("copied"))
    refused(cli("pull", folder), "needs 0.00 GB", "are free: make room")
    refused(cli("push", tmp_path / "x", folder), "needs 0.00 GB", "are free: make room")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["identity"].update(format=1), f"has format 1, this maa-bench reads {FORMAT}"),
        (lambda m: m["identity"].update(suite="other-v1"), "was made for other-v1, not for tiny"),
        (lambda m: m["identity"].update(layouts_sha256="0"), "was made for tiny, not for tiny as it is now"),
        (lambda m: m["identity"].update(spec_id="mlp"), "holds policies mlp"),
        (lambda m: m["identity"].update(horizon=3), "is not that of the identity"),
        (lambda m: m.update(id="../../../evil"), "is not that of the identity"),
        (
            lambda m: m["shards"].update({"../../../evil": m["shards"].pop(SHARD)}),
            "'../../../evil': it is not",
        ),
        (lambda m: m.pop("identity"), "lacks format and suite"),
    ],
    ids=["format", "suite", "layouts", "spec", "identity", "id", "path", "no identity"],
)
def test_what_a_foreign_manifest_says_is_checked_first(
    cli: Cli, folder: Path, tmp_path: Path, change: Callable[[Any], Any], words: str
) -> None:
    edit_manifest(folder, change)
    refused(cli("pull", folder), words)
    assert left_in(tmp_path / "new-cache" / "datasets") == []
    assert not (tmp_path / "evil").exists()


def test_an_unknown_suite_is_asked_for(cli: Cli, folder: Path) -> None:
    refused(cli("pull", folder, suite="toy-v1"), "is of suite 'tiny', which does not come with maa-bench", "--suite")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"identity": 3}'])
def test_what_is_no_dataset_is_not_pulled(cli: Cli, tmp_path: Path, content: str | None) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if content is not None:
        (source / "manifest.json").write_text(content)
    refused(cli("pull", source), str(source), "manifest.json")


def test_a_revision_is_of_the_hub(cli: Cli, folder: Path) -> None:
    refused(cli("pull", folder, "--revision", "main"), "--revision is of a Hub repository")


def test_a_pulled_dataset_does_not_take_the_place_of_one_built_here(cli: Cli, folder: Path, tmp_path: Path) -> None:
    """A GPU may give other bytes for the same identity; fits and cells are kept by what they were made of."""
    assert cli("pull", folder)[0] == 0
    edit_manifest(folder, lambda m: m["shards"][SHARD].update(note="another"))
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes() + b"x")
    edit_manifest(folder, lambda m: m["shards"][SHARD].update(sha256=sha256_of(folder / SHARD)))
    edit_manifest(folder, lambda m: m["shards"][SHARD].update(bytes=(folder / SHARD).stat().st_size))
    assert cli("pull", folder)[0] == 0
    pulled = left_in(tmp_path / "new-cache" / "datasets")
    assert len(pulled) == 2
    assert folder.name not in pulled
    assert {name.rpartition(".")[0] for name in pulled} == {folder.name}


def test_a_push_replaces_datasets_only(cli: Cli, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    assert cli("push", target, folder)[0] == 0, "an empty folder"
    (target / SHARD).unlink()
    assert cli("push", target, folder)[0] == 0, "the same dataset"
    assert (target / SHARD).exists()
    edit_manifest(target, lambda m: m.update(id="tiny-0123456789"))
    refused(cli("push", target, folder), "holds another dataset, tiny-0123456789: --overwrite")
    assert cli("push", target, folder, "--overwrite")[0] == 0
    assert json.loads((target / "manifest.json").read_text())["id"] == folder.name

    (target / "thesis.txt").write_text("years of work")
    for option in ([], ["--overwrite"]):
        refused(cli("push", target, folder, *option), "holds other files (thesis.txt), which are never replaced")
    assert (target / "thesis.txt").read_text() == "years of work"


def test_a_push_goes_nowhere_it_must_not(cli: Cli, folder: Path, tmp_path: Path) -> None:
    for target in (folder, folder / "copy"):
        refused(cli("push", target, folder), "is the dataset's own folder or inside it")
    file = tmp_path / "file"
    file.write_text("")
    refused(cli("push", file, folder), "is a file: choose a folder")
    refused(cli("push", "somewhere", folder), "(a new one: ./somewhere)")


# The Hub


class FakeHub:
    """What this package asks of `huggingface_hub`, with repositories that are folders."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked = root, []  # type: ignore[var-annotated]

    def create_repo(self, repo_id: str, *, repo_type: str, exist_ok: bool, private: bool) -> str:
        assert (repo_type, exist_ok) == ("dataset", True)
        self.asked.append(("create", repo_id, private))
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        return f"hub:{repo_id}"

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        return sorted(hashes(self.root / repo_id))

    def upload_folder(
        self,
        *,
        repo_id: str,
        repo_type: str,
        folder_path: Path,
        allow_patterns: list[str],
        delete_patterns: list[str],
        commit_message: str,
    ) -> None:
        repo = self.root / repo_id
        for name in hashes(repo):
            if any(fnmatch.fnmatch(name, pattern) for pattern in delete_patterns):
                (repo / name).unlink()
        for name in hashes(folder_path):
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (repo / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder_path / name, repo / name)
        self.asked.append(("upload", repo_id, commit_message))

    def snapshot_download(
        self, repo_id: str, *, repo_type: str, revision: str | None, local_dir: Path, allow_patterns: list[str]
    ) -> None:
        assert repo_type == "dataset"
        self.asked.append(("download", repo_id, revision))
        for name in hashes(self.root / repo_id):
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root / repo_id / name, local_dir / name)
        (local_dir / ".cache" / "huggingface").mkdir(parents=True)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def test_a_dataset_goes_to_the_hub_and_back(cli: Cli, folder: Path, tmp_path: Path, hub: FakeHub) -> None:
    assert cli("push", "user/tiny", folder, "--private") == (0, "hub:user/tiny\n", "")
    assert hub.asked == [("create", "user/tiny", True), ("upload", "user/tiny", f"maa-bench dataset {folder.name}")]
    assert set(hashes(hub.root / "user" / "tiny")) - {"README.md"} == set(shared_files(folder)) - {"README.md"}
    code, out, err = cli("pull", "user/tiny", "--revision", "v2")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder.name}.")
    assert hub.asked[-1] == ("download", "user/tiny", "v2")
    (pulled,) = (tmp_path / "new-cache" / "datasets").iterdir()
    assert shared_files(pulled) == hashes(hub.root / "user" / "tiny"), "none of the library's own files"
    assert not (pulled / ".cache").exists()
    asked = len(hub.asked)
    assert cli("pull", "hf://datasets/user/tiny")[0] == 0
    assert len(hub.asked) == asked + 1, "only the manifest: it was there already"


def test_a_repository_that_holds_something_else_is_refused(cli: Cli, folder: Path, hub: FakeHub) -> None:
    assert cli("push", "user/tiny", folder)[0] == 0
    repo = hub.root / "user" / "tiny"
    (repo / "checkpoints" / "old.parquet").write_bytes(b"old")
    assert cli("push", "user/tiny", folder)[0] == 0, "the same dataset again"
    assert not (repo / "checkpoints" / "old.parquet").exists()
    edit_manifest(repo, lambda m: m.update(id="tiny-0123456789"))
    refused(cli("push", "user/tiny", folder), "holds another dataset, tiny-0123456789: --overwrite")
    assert cli("push", "user/tiny", folder, "--overwrite")[0] == 0
    (hub.root / "user" / "code").mkdir()
    (hub.root / "user" / "code" / "train.py").write_text("")
    refused(cli("push", "user/code", folder), "holds other files (train.py)")


def test_what_comes_from_the_hub_is_checked(cli: Cli, folder: Path, tmp_path: Path, hub: FakeHub) -> None:
    assert cli("push", "user/tiny", folder)[0] == 0
    flip(hub.root / "user" / "tiny" / SHARD)
    refused(cli("pull", "user/tiny"), "user/tiny on the Hub", f"{SHARD} is damaged", "nothing was kept")
    (hub.root / "user" / "tiny" / SHARD).unlink()
    refused(cli("pull", "user/tiny"), f"{SHARD} is damaged (missing)")
    (hub.root / "user" / "tiny" / "manifest.json").unlink()
    refused(cli("pull", "user/tiny"), "user/tiny on the Hub holds no dataset of maa-bench")
    assert left_in(tmp_path / "new-cache" / "datasets") == []
    flip(folder / SHARD)
    refused(cli("push", "user/tiny", folder), f"{SHARD} is damaged")


def test_an_interrupted_download_leaves_nothing(
    cli: Cli, folder: Path, tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("push", "user/tiny", folder)[0] == 0
    download = hub.snapshot_download

    def stop(*args: Any, local_dir: Path, allow_patterns: list[str], **options: Any) -> None:
        download(*args, local_dir=local_dir, allow_patterns=allow_patterns[:2], **options)
        if len(allow_patterns) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub, "snapshot_download", stop)
    assert cli("pull", "user/tiny")[0] == 130
    assert left_in(tmp_path / "new-cache" / "datasets") == []


class HubError(Exception):
    """Like the library's: some lines, and a response."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} Client Error.\n\nRepository Not Found for url\nMore words")
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (HubError(401), ("HubError: 401 Client Error.", "HF_TOKEN")),
        (HubError(404), ("is the name right?",)),
        (HubError(500), ("is the network there?",)),
        (ConnectionError("no route"), ("ConnectionError: no route", "is the network there?")),
        (OSError(28, "No space left on device"), ("No space left on device; make room",)),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    cli: Cli, folder: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, error: Exception, words: tuple[str, ...]
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(hub, "upload_folder", refuse)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    refused(cli("push", "user/tiny", folder), *words)
    refused(cli("pull", "user/tiny"), *words)


def test_the_library_takes_what_it_is_given(tiny_dataset: CheckpointDataset) -> None:
    """The fake above stands for these."""
    import inspect

    for real, fake in (
        (huggingface_hub.HfApi.create_repo, FakeHub.create_repo),
        (huggingface_hub.HfApi.list_repo_files, FakeHub.list_repo_files),
        (huggingface_hub.HfApi.upload_folder, FakeHub.upload_folder),
        (huggingface_hub.snapshot_download, FakeHub.snapshot_download),
    ):
        known = inspect.signature(real).parameters
        assert {name for name in inspect.signature(fake).parameters if name != "self"} <= set(known)
