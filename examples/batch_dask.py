"""Upscale the images of any fsspec address into another by Dask; run it again to resume.

    pip install sr3 "dask[distributed]" fsspec
    python examples/batch_dask.py s3://photos/raw s3://photos/large --scheduler tcp://10.0.0.1:8786

Without --scheduler, workers of this machine do it. Results are PNG files of the same names plus .png. What exists is
skipped; what fails is listed.
"""

import argparse
import sys

import fsspec
from dask.distributed import Client, LocalCluster, as_completed, get_worker

from sr3.batch import Upscale


def work(rows: list[tuple[str, str]], source: str, target: str, model: str) -> list[str | None]:
    """Read, enlarge and write images, given by their paths and those of the results; returns an error or None each."""
    source_fs, target_fs = fsspec.url_to_fs(source)[0], fsspec.url_to_fs(target)[0]
    worker = get_worker()
    if not hasattr(worker, "upscale"):
        worker.upscale = Upscale(model)  # once in every worker process
    paths = [path for path, _ in rows]
    large = worker.upscale({"path": paths, "bytes": [source_fs.cat_file(path) for path in paths]})
    for (_, result), data in zip(rows, large["bytes"], strict=True):
        if data is not None:
            target_fs.makedirs(target_fs._parent(result), exist_ok=True)
            target_fs.pipe_file(result + ".part", data)
            target_fs.mv(result + ".part", result)  # a result exists as a whole or not at all
    return list(large["error"])


def main() -> int:
    """Distribute the images that have no result yet; returns 1 if any failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--scheduler", help="address of a Dask scheduler")
    parser.add_argument("--workers", type=int, default=2, help="processes of this machine, without --scheduler")
    parser.add_argument("--images-per-task", type=int, default=16)
    parser.add_argument("--model", default="photos-x4-fast")
    args = parser.parse_args()
    (fs, source), (target_fs, target) = fsspec.url_to_fs(args.source), fsspec.url_to_fs(args.target)
    done = set(target_fs.find(target)) if target_fs.exists(target) else set()
    rows = [(path, f"{target}{path.removeprefix(source)}.png") for path in sorted(fs.find(source))]
    rows = [row for row in rows if row[1] not in done]
    parts = [rows[start : start + args.images_per_task] for start in range(0, len(rows), args.images_per_task)]
    here = (
        None if args.scheduler else LocalCluster(n_workers=args.workers, threads_per_worker=1, dashboard_address=None)
    )
    failed = 0
    with Client(args.scheduler or here) as client:
        tasks = client.map(work, parts, source=args.source, target=args.target, model=args.model, pure=False)
        names = dict(zip(tasks, parts, strict=True))
        for task in as_completed(tasks):
            for (path, _), error in zip(names[task], task.result(), strict=True):
                failed += error is not None
                print(error or f"{path}: done", flush=True)
    if here is not None:
        here.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
