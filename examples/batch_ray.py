"""Upscale the images of any fsspec address into another by Ray Data; run it again to resume.

    pip install "sr3[ray]"
    python examples/batch_ray.py s3://photos/raw s3://photos/large --workers 8

Results are PNG files of the same names plus .png. What exists is skipped; what fails is listed at the end.
"""

import argparse
import sys

import fsspec
import ray

from sr3.batch import Upscale

parser = argparse.ArgumentParser()
parser.add_argument("source")
parser.add_argument("target")
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--images-per-task", type=int, default=16, help="what a killed worker does again, at most")
parser.add_argument("--model", default="photos-x4-fast")
args = parser.parse_args()


def read(row: dict) -> dict:
    """Add the encoded image of a path."""
    return {**row, "bytes": fsspec.url_to_fs(args.source)[0].cat_file(row["path"])}


def write(row: dict) -> dict:
    """Write a result, and keep only what the end needs."""
    if row["error"] is None:
        fs, _ = fsspec.url_to_fs(args.target)
        fs.makedirs(fs._parent(row["result"]), exist_ok=True)
        fs.pipe_file(row["result"] + ".part", row["bytes"])
        fs.mv(row["result"] + ".part", row["result"])  # a result exists as a whole or not at all
    return {"path": row["path"], "error": row["error"]}


(source_fs, source), (target_fs, target) = fsspec.url_to_fs(args.source), fsspec.url_to_fs(args.target)
done = set(target_fs.find(target)) if target_fs.exists(target) else set()
rows = [{"path": path, "result": f"{target}{path.removeprefix(source)}.png"} for path in sorted(source_fs.find(source))]
rows = [row for row in rows if row["result"] not in done]
failed = 0
if rows:
    tasks = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // args.images_per_task)).map(read)
    pool, settings = ray.data.ActorPoolStrategy(size=args.workers), {"model": args.model}
    large = tasks.map_batches(Upscale, fn_constructor_kwargs=settings, compute=pool, batch_size=args.images_per_task)
    for row in large.map(write, num_cpus=0).iter_rows():  # needs no core, so it never waits for the workers to end
        failed += row["error"] is not None
        print(row["error"] or f"{row['path']}: done", flush=True)
sys.exit(1 if failed else 0)
