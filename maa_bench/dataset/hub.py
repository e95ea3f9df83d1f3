"""Sharing datasets through the Hugging Face Hub, with the token that its library finds."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maa_bench.cache import Cache
from maa_bench.dataset.manifest import TABLES
from maa_bench.dataset.share import check_shards, is_there, read_foreign, require_room
from maa_bench.dataset.store import CARD, MANIFEST, CheckpointDataset
from maa_bench.errors import DataError, MaaBenchError, one_line
from maa_bench.files import whole_folder

OURS = {".gitattributes", CARD}
"""What a repository may hold before the first push."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
_REFUSED = (401, 403, 404)


def push_to_hub(data: CheckpointDataset, repo: str, private: bool, overwrite: bool) -> str:
    """Upload a dataset in one commit, after which the repository holds its shards and no others.

    Args:
        data: the dataset.
        repo: user/name; made if it is not there.
        private: a repository that is made is private.
        overwrite: the repository may hold another dataset or other files.

    Returns:
        The repository's address.

    Raises:
        DataError: a shard is damaged, the repository is in use, or the Hub refuses.
    """
    import huggingface_hub

    check_shards(data, data.folder, str(data.folder))
    with _one_line_errors(f"cannot push to {repo} on the Hub"):
        api = huggingface_hub.HfApi()
        url = api.create_repo(repo, repo_type="dataset", exist_ok=True, private=private)
        if not overwrite:
            _check_repo(api, repo, data.id)
        api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=data.folder,
            allow_patterns=[CARD, MANIFEST, *data.shards],
            delete_patterns=[f"{table}/*" for table in TABLES],
            commit_message=f"maa-bench dataset {data.id}",
        )
    return str(url)


def pull_from_hub(repo: str, revision: str | None, cache: Cache, suite: str) -> tuple[CheckpointDataset, bool]:
    """Download a dataset into the cache, whole or not at all; see `share.pull_from_folder`.

    Args:
        repo: user/name.
        revision: branch, tag or commit; default: the main branch.
        cache: where it goes.
        suite: of the dataset, asked only if it does not come with the package.

    Raises:
        DataError: as `share.pull_from_folder`; or the Hub refuses.
    """
    with tempfile.TemporaryDirectory(prefix="maa-bench-pull-") as folder:
        _download(repo, revision, Path(folder), [MANIFEST])
        data = read_foreign(Path(folder), f"{repo} on the Hub", suite)
        target = cache.dataset_folder(data.address)
        there = is_there(data, target)
        if not there:
            require_room(target, sum(int(entry["bytes"]) for entry in data.shards.values()), f"dataset {data.id}")
            with whole_folder(target) as temporary:
                _download(repo, revision, temporary, [CARD, *data.shards])
                shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the library's own notes
                shutil.copyfile(data.folder / MANIFEST, temporary / MANIFEST)
                check_shards(data, temporary, f"{repo} on the Hub")
    return CheckpointDataset(target, data.suite), there


def _download(repo: str, revision: str | None, folder: Path, files: list[str]) -> None:
    import huggingface_hub

    with _one_line_errors(f"cannot pull {repo} from the Hub"):
        huggingface_hub.snapshot_download(
            repo, repo_type="dataset", revision=revision, local_dir=folder, allow_patterns=files
        )


def _check_repo(api: Any, repo: str, own: str) -> None:
    """Raises DataError if a repository holds something else than the dataset of that id."""
    files = set(api.list_repo_files(repo, repo_type="dataset"))
    if files <= OURS:
        return
    found = None
    if MANIFEST in files:
        with tempfile.TemporaryDirectory(prefix="maa-bench-push-") as folder:
            _download(repo, None, Path(folder), [MANIFEST])
            try:
                found = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8")).get("id")
            except (OSError, ValueError, AttributeError):
                found = None
    if found != own:
        what = f"another dataset, {one_line(str(found))}" if found else f"other files ({min(files - OURS)})"
        raise DataError(f"{repo} on the Hub holds {what}: --overwrite puts {own} in its place")


@contextmanager
def _one_line_errors(what: str) -> Iterator[None]:
    """Whatever the library raises, in one line; a full disk is no affair of the Hub's."""
    try:
        yield
    except MaaBenchError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in _REFUSED or type(error).__name__ == "LocalTokenNotFoundError":
            hint = "is the name right? Private repositories and every push need a token: `hf auth login`, or HF_TOKEN"
        else:
            hint = "is the network there? Nothing was kept; run the same command again"
        first = next(iter(str(error).strip().splitlines()), "")
        raise DataError(f"{what} ({type(error).__name__}: {one_line(first)}); {hint}") from None
