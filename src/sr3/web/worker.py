"""The run of one job, by the code that `sr3 upscale` runs, with previews, the time left and a stop."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from sr3.errors import Cancelled
from sr3.images.files import picture_size
from sr3.images.recorded_warnings import recorded_warnings
from sr3.runtime.layer_calls import called_before_layers
from sr3.sampling.plan import as_plan
from sr3.sampling.window_report import WindowDone
from sr3.upscaling.drawing import Request
from sr3.upscaling.jobs import Done, Failed, FileEvent, Refined, upscale_files
from sr3.upscaling.naming import Job as FileJob
from sr3.upscaling.result_preview import ResultPreview
from sr3.web.browser_view import shown_image
from sr3.web.job import Job
from sr3.web.model_list import Loaded
from sr3.web.schema import ResultKind, ResultView, State
from sr3.web.upload import without_folder

__all__ = ["run_job"]

LONGEST_PREVIEW = 1536
"""Longest side of a preview in pixels."""

_SECONDS = 0.15  # between previews
_SECONDS_OF_A_STEP = 0.5  # between reports of progress inside a step
_MOST_OF_A_STEP = 0.95  # that such a report claims


def run_job(job: Job, loaded: Loaded) -> None:
    """Run a job to its end, whatever that is; a defect of the package is reported in the job and raised."""
    defect: Exception | None = None
    with recorded_warnings() as caught:
        try:
            state, error = _Run(job, loaded).run()
        except Cancelled:
            state, error = "stopped", None
        except Exception as raised:
            state, error = "failed", f"the server failed with {type(raised).__name__}; try again, or report it"
            defect = raised
    job.warnings += [_one_line(job, str(warning)) for warning in caught if isinstance(warning, UserWarning)]
    job.end(state, error)
    if defect is not None:
        raise defect


def _one_line(job: Job, text: str) -> str:
    return " ".join(without_folder(without_folder(text, job.source.parent), job.target.parent).split())


class _Run:
    """What is known while a job runs."""

    def __init__(self, job: Job, loaded: Loaded) -> None:
        self._job, self._loaded = job, loaded
        self._began = self._step_began = time.monotonic()
        self._shown = self._told = 0.0
        self._refined = Refined(FileJob(job.source, job.target), 0, 1)
        self._each = 1

    def run(self) -> tuple[State, str | None]:
        """Take all steps, say what happens, and return how it ended; raises Cancelled when the job was stopped."""
        job, asked = self._job, self._job.asked
        upscaler = replace(self._loaded.upscaler(asked.offered), on_window=self._after_window)
        request = Request(
            as_plan(asked.sampling),
            asked.settings.seed,
            asked.outputs,
            quality=asked.settings.quality,
            sizing=asked.sizing,
        )
        if job.stop.is_set():
            raise Cancelled("the job was stopped")
        self._began = self._step_began = time.monotonic()
        try:
            with called_before_layers(upscaler.denoiser, self._before_layer):
                return self._follow(upscale_files(upscaler, [FileJob(job.source, job.target)], request))
        finally:
            self._announce_samples()

    def _follow(self, events: Iterator[FileEvent]) -> tuple[State, str | None]:
        """Say what happens until the last event."""
        job = self._job
        for event in events:
            self._announce_samples()
            match event:
                case Refined():
                    self._take(event)
                case Done():
                    self._finish(event)
                    return "done", None
                case Failed():
                    return "failed", _one_line(job, event.reason)
                case _:
                    pass
            if job.stop.is_set() and not self._is_at_end_of_sample():
                raise Cancelled("the job was stopped")
        return "failed", "the work ended without a result; try again, or report it"

    def _take(self, event: Refined) -> None:
        """Note a step."""
        self._step_began = time.monotonic()
        self._refined, self._each = event, event.steps // self._job.asked.outputs.samples
        if event.preview is not None:
            self._show(event.preview)
        self._progress(event.step)

    def _finish(self, event: Done) -> None:
        """Note that everything is written."""
        job, (width, height) = self._job, event.size_out
        job.pair = event.apart
        self._announce_summaries()
        seconds = event.seconds / job.asked.outputs.samples
        self._loaded.learn(job.asked.offered, width * height, job.asked.sampling, seconds)

    def _is_at_end_of_sample(self) -> bool:
        """Tell whether a sample is complete but not written yet, which the next event shows."""
        return self._refined.step == (self._refined.sample + 1) * self._each

    def _step(self) -> int:
        return self._refined.step - self._refined.sample * self._each

    def _show(self, preview: ResultPreview) -> None:
        """Show a preview, unless the last one has only just been shown."""
        now = time.monotonic()
        if self._step() == self._each or (self._step() and now - self._shown < _SECONDS):
            return  # the result itself follows
        self._put(shown_image(preview.picture(LONGEST_PREVIEW)))

    def _put(self, image: Image.Image) -> None:
        """Replace the preview, and announce it unless the last one has only just been announced."""
        job = self._job
        number = job.preview.show(image)
        if time.monotonic() - self._shown < _SECONDS:
            return
        self._shown = time.monotonic()
        url = f"/api/jobs/{job.id}/preview?number={number}"
        job.events.add("preview", {"url": url, "sample": self._refined.sample, "step": self._step()})

    def _after_window(self, done: WindowDone) -> None:
        """Paste a window into the preview; end the work when it is to stop."""
        job = self._job
        if job.stop.is_set():
            raise Cancelled("the job was stopped")
        if job.preview.image is None or self._refined.preview is None or done.total == 1:
            return
        self._put(_pasted(job.preview.image, done, self._refined.preview))
        self._progress(self._refined.step + done.number / done.total)

    def _before_layer(self) -> None:
        """End the work when it is to stop; twice a second say how far a step is, by the time that earlier ones took."""
        job, now = self._job, time.monotonic()
        if job.stop.is_set():
            raise Cancelled("the job was stopped")
        if now - self._told > _SECONDS_OF_A_STEP:
            share = (now - self._step_began) * self._each / max(1e-9, self._predicted())
            self._progress(self._refined.step + min(_MOST_OF_A_STEP, share))

    def _predicted(self) -> float:
        """Estimate the seconds of a sample."""
        asked = self._job.asked
        return self._loaded.predict(asked.offered, asked.output.width * asked.output.height, asked.sampling)

    def _progress(self, steps: float) -> None:
        """Say how far the job is, and estimate the time left."""
        job, elapsed = self._job, time.monotonic() - self._began
        job.done = max(job.done, min(1.0, steps / max(1, self._refined.steps)))
        if job.done > 0.05:
            left = elapsed / job.done * (1 - job.done)
        else:
            left = max(0.0, self._predicted() * job.asked.outputs.samples - elapsed)
        self._told = time.monotonic()
        job.seconds_left = round(left, 2)
        job.events.add(
            "progress",
            {
                "step": self._step(),
                "steps": self._each,
                "sample": self._refined.sample,
                "samples": job.asked.outputs.samples,
                "done": round(job.done, 4),
                "seconds_left": job.seconds_left,
            },
        )

    def _announce_samples(self) -> None:
        """Announce the samples that have been written since the last event."""
        for number, path in enumerate(self._job.asked.outputs.samples_of(self._job.target)):
            if number == len([r for r in self._job.results if r.kind == "sample"]) and path.exists():
                self._announce(path, "sample", number)

    def _announce_summaries(self) -> None:
        kinds: tuple[ResultKind, ...] = ("mean", "deviation")
        summaries = self._job.asked.outputs.summaries_of(self._job.target)
        for kind, path in zip(kinds, summaries, strict=False):
            self._announce(path, kind, None)

    def _announce(self, path: Path, kind: ResultKind, sample: int | None) -> None:
        job = self._job
        width, height = picture_size(path)
        url = f"/api/jobs/{job.id}/results/{quote(path.name)}"
        result = ResultView(
            name=path.name,
            kind=kind,
            sample=sample,
            seed=job.asked.settings.seed,
            width=width,
            height=height,
            bytes=path.stat().st_size,
            url=url,
            view_url=f"{url}/view",
        )
        job.results.append(result)
        job.events.add("result", result.model_dump(mode="json"))


def _pasted(shown: Image.Image, done: WindowDone, preview: ResultPreview) -> Image.Image:
    """Put a window that is complete into a copy of the preview."""
    across, down = shown.width / done.width, shown.height / done.height
    top, left, height, width = done.window
    box = (round(left * across), round(top * down), round((left + width) * across), round((top + height) * down))
    size = (max(1, box[2] - box[0]), max(1, box[3] - box[1]))
    image = shown_image(preview.of_window(done.image())).resize(size, Image.Resampling.BOX)
    canvas = shown.copy()
    if canvas.mode in ("RGBA", "LA"):
        image.putalpha(canvas.crop((*box[:2], box[0] + size[0], box[1] + size[1])).getchannel("A"))
    canvas.paste(image.convert(canvas.mode), box[:2])
    return canvas
