"""The jobs of a server: queue, workers, sessions, and the end of everything that nobody waits for."""

import logging
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch

from sr3.runtime.threads import choose_threads
from sr3.upscaling.naming import plan_jobs
from sr3.web.fair_queue import FairQueue
from sr3.web.job import Job, make_id
from sr3.web.limits import Limits
from sr3.web.model_list import Loaded, ModelList
from sr3.web.refused import Refused
from sr3.web.schema import JobView
from sr3.web.sessions import Sessions
from sr3.web.upload import ask, clean_name, parse_settings, save_upload
from sr3.web.worker import run_job

__all__ = ["Machine", "Service"]

_LOG = logging.getLogger(__name__)
_SECONDS = 0.5  # between looks for sessions that have gone


class Machine:
    """What jobs run on, and the options of the command line that say the same."""

    def __init__(
        self,
        devices: list[torch.device],
        *,
        dtype: str = "auto",
        threads: int | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        """Take the devices, of which each works on one job at a time, and the data type of the computations."""
        self.devices, self.dtype, self.threads, self.options = devices, dtype, threads, options


class Service:
    """All jobs of a server. Its methods may be called by any thread."""

    def __init__(
        self, models: ModelList, machine: Machine, folder: Path, limits: Limits, *, keep: Path | None = None
    ) -> None:
        """Take the models, the machine, the folder of all files, and the folder in which results are kept."""
        self.models, self.limits, self.sessions = models, limits, Sessions(limits.absence)
        self._machine, self._folder, self._keep = machine, folder, keep
        self._changed = threading.Condition(threading.RLock())
        self._uploads = threading.Lock()
        self._queue: FairQueue[Job] = FairQueue()
        self._jobs: dict[str, Job] = {}
        self._is_closing = False

    @contextmanager
    def running(self) -> Generator[None]:
        """Run the workers inside the block; at its end all jobs are stopped."""
        choose_threads(self._machine.threads)
        threads = [threading.Thread(target=self._look_after, daemon=True)]
        for device in self._machine.devices:
            loaded = Loaded(device, self._machine.dtype)
            loaded.upscaler(next(iter(self.models)))
            threads.append(threading.Thread(target=self._work, args=(loaded,), daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.close()
            for thread in threads:
                thread.join(timeout=60)

    def is_closing(self) -> bool:
        """Whether the server is about to end."""
        return self._is_closing

    def close(self) -> None:
        """Stop all jobs, let all readers of events go, and take no more jobs."""
        with self._changed:
            self._is_closing = True
            jobs = list(self._jobs.values())
            self._changed.notify_all()
        for job in jobs:
            self.stop(job)
            job.events.close()

    def submit(self, session: str, name: str, file: BinaryIO, settings: str) -> Job:
        """Check an upload and let it wait; Refused says why not."""
        asked_settings = parse_settings(settings)
        self._check_room(session)
        number = make_id()
        folder = self._folder / number
        source = folder / "input" / clean_name(name)
        source.parent.mkdir(parents=True)
        try:
            save_upload(file, source, self.limits)
            with self._uploads:  # one image is decoded at a time, so that many uploads need the memory of one
                asked = ask(source, asked_settings, self.models, self.limits, machine=self._machine.options)
            [planned] = plan_jobs([source], folder / "results", outputs=asked.outputs, naming=asked.naming)
            job = Job(session, folder, source, planned.target, asked, number)
            with self._changed:
                self._check_room(session)
                self._jobs[job.id] = job
                self._queue.add(session, job)
                self._changed.notify_all()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._publish_positions()
        return job

    def find(self, number: str) -> Job:
        """Find a job by its id; Refused (404) when there is none."""
        with self._changed:
            job = self._jobs.get(number)
        if job is None:
            raise Refused(404, f"job {number}: does not exist, or was removed; upload the image again")
        job.asked_for = time.monotonic()
        self.sessions.touch(job.session)
        return job

    def view(self, job: Job) -> JobView:
        """Describe a job with its place in the queue."""
        with self._changed:
            order = self._queue.in_order()
            return job.view(order.index(job) if job in order else 0)

    def stop(self, job: Job) -> None:
        """End a job: at once when it waits, after the step under way when it runs."""
        with self._changed:
            job.stop.set()
            waited = self._queue.remove(job.session, job)
        if waited:
            job.end("stopped")
            self._publish_positions()

    def forget(self, job: Job) -> None:
        """End a job and remove its files."""
        self.stop(job)
        with self._changed:
            self._jobs.pop(job.id, None)
            job.is_forgotten = True
            ended = job.has_ended
        if ended:
            shutil.rmtree(job.folder, ignore_errors=True)

    def _check_room(self, session: str) -> None:
        with self._changed:
            if self._queue.count(session) >= self.limits.waiting:
                raise Refused(
                    429,
                    f"{self.limits.waiting} of your images are waiting, which is the limit; send more when one has "
                    "started",
                )
            if len(self._queue) >= self.limits.waiting_in_all or self._is_closing:
                raise Refused(503, "the server's queue is full; try again in a minute")

    def _publish_positions(self) -> None:
        with self._changed:
            order = self._queue.in_order()
        for position, job in enumerate(order):
            job.publish(position)

    def _work(self, loaded: Loaded) -> None:
        """Run jobs on a device, one after the other; a defect that ends one is logged."""
        choose_threads(self._machine.threads)
        while (job := self._next()) is not None:
            self._publish_positions()
            job.publish()
            try:
                run_job(job, loaded)
                self._settle(job)
            except Exception:
                _LOG.exception("job %s failed", job.id)

    def _next(self) -> Job | None:
        """Wait for a job; None when the server ends."""
        with self._changed:
            while True:
                if self._is_closing:
                    return None
                if (job := self._queue.take()) is not None:
                    job.state = "running"
                    return job
                self._changed.wait()

    def _settle(self, job: Job) -> None:
        """Keep the results where that was asked for, and remove the files of a job that was forgotten."""
        if self._keep is not None and job.results:
            kept = self._keep / f"{job.source.stem}-{job.id}"
            kept.mkdir(parents=True, exist_ok=True)
            for result in job.results:
                shutil.copyfile(job.target.parent / result.name, kept / result.name)
        if job.is_forgotten:
            shutil.rmtree(job.folder, ignore_errors=True)

    def _look_after(self) -> None:
        """End the work of sessions that have gone, and forget jobs that nobody asks for."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closing, timeout=_SECONDS):
                    return
                jobs = list(self._jobs.values())
            gone, closed = self.sessions.gone()
            now = time.monotonic()
            ended = sorted((job for job in jobs if job.has_ended), key=lambda job: job.asked_for)
            surplus = set(ended[: max(0, len(jobs) - self.limits.stored)])
            for job in jobs:
                is_old = job.has_ended and now - job.asked_for > self.limits.seconds
                if job.session in closed or is_old or job in surplus:
                    self.forget(job)
                elif job.session in gone and not job.has_ended:
                    self.stop(job)
