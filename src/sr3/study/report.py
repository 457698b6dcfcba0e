"""The report of a study as files: CSV, JSON, HTML and plots."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from sr3.atomic import whole_file
from sr3.errors import StudyError
from sr3.study.figures import Figures, Group, Rate, figures
from sr3.study.plot import Bar, plot_shares
from sr3.study.settings import QUESTIONS, StudyConfig
from sr3.study.store import read_records

__all__ = ["report_study", "rules", "write_report"]

_STYLE = (
    "body{font:16px/1.55 system-ui,sans-serif;max-width:62rem;margin:3rem auto;padding:0 1.5rem;color:#1c1c1c}"
    "h1{font-size:1.7rem}h2{margin-top:2.5rem;font-size:1.25rem}table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.3rem 1rem .3rem 0;text-align:right;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}svg{max-width:100%;height:auto}"
    "summary{cursor:pointer;margin:1rem 0}"
)


def report_study(config: StudyConfig) -> Figures:
    """Read all answers of a study and compute fool rates; StudyError when there is no database."""
    return figures(config, read_records(config.database, config.lasting()))


def write_report(config: StudyConfig, found: Figures, out: Path) -> list[Path]:
    """Write tables (CSV), all results (report.json), plots (SVG) and an HTML page; returns the files."""
    tables = {
        "methods.csv": [_group_row(group) for group in found.methods],
        "images.csv": [_group_row(group) for group in found.images],
        "subjects.csv": _subject_rows(found),
        "answers.csv": _answer_rows(found),
    }
    plots = _plots(config, found)
    texts = {name: _csv(rows) for name, rows in tables.items()}
    texts |= {f"{name}.svg": svg for name, svg in plots.items()}
    texts["report.json"] = json.dumps(_summary(config, found, tables), indent=2) + "\n"
    texts["report.html"] = _html(config, found, plots)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with whole_file(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from error
    return [out / name for name in texts]


def rules(config: StudyConfig) -> list[str]:
    """Describe which answers count, in sentences."""
    allowed, checks = config.attention.failures_allowed, config.attention.checks
    guessing = sum(math.comb(checks, missed) for missed in range(allowed + 1)) / 2**checks
    attention = (
        f"A subject is excluded if it failed more than {allowed} of its {checks} attention checks "
        f"(guessing passes with a probability of {guessing:.1%})."
    )
    return [
        "A subject counts if it answered all pairs.",
        *([attention] if checks else []),
        f"An answer is excluded if its pair was shown for more than {config.exposure_tolerance:g} s longer or "
        f"shorter than the {config.exposure:g} s of the study.",
        "An answer is excluded if its pair was shown more than once, because the page was reloaded, or never, because "
        "the answer did not come from the page.",
    ]


def _group_row(group: Group) -> dict[str, Any]:
    names = {"question": group.question, "method": group.method, **({"image": group.image} if group.image else {})}
    return {**names, "subjects": group.subjects, **_rate_row(group.rate)}


def _rate_row(rate: Rate) -> dict[str, Any]:
    low, high = rate.interval
    share = rate.share if rate.answers else None
    return {"answers": rate.answers, "fooled": rate.fooled, "fool_rate": share, "low_95": low, "high_95": high}


def _subject_rows(found: Figures) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject.number,
            "question": subject.question,
            "methods": " ".join(subject.methods),
            "answered": subject.answered,
            "trials": subject.trials,
            "checks": subject.checks,
            "checks_failed": subject.checks_failed,
            "left_out": subject.left_out,
            "answers_left_out": subject.answers_left_out,
            "median_response_s": None if math.isnan(subject.response) else subject.response,
            **_rate_row(subject.rate),
        }
        for subject in found.subjects
    ]


def _answer_rows(found: Figures) -> list[dict[str, Any]]:
    counted = set(map(id, found.counted))
    return [
        {
            "subject": record.subject,
            "question": record.question,
            "place": record.place,
            "image": record.trial.image,
            "method": record.trial.method or "",
            "kind": "check" if record.trial.method is None else "pair",
            "truth": "first" if record.trial.truth_first else "second",
            **record.answer._asdict(),
            "views": record.views,
            "answered": record.answered,
            "counted": int(id(record) in counted),
        }
        for record in found.records
        if record.answer is not None
    ]


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _plain(value: object) -> object:
    """Escape a text, such as a file name, that a spreadsheet would evaluate as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _summary(config: StudyConfig, found: Figures, tables: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    out = [subject.left_out for subject in found.subjects if subject.left_out]
    return {
        "settings": config.model_dump(mode="json", exclude={"page"}),
        "questions": {question: QUESTIONS[question] for question in config.questions},
        "rules": rules(config),
        "subjects": {
            "all": len(found.subjects),
            "left_out": {reason: out.count(reason) for reason in sorted(set(out))},
        },
        "answers_left_out": found.answers_left_out,
        "exposure_s": {
            "setting": config.exposure,
            "median": found.exposure_median if found.counted else None,
            "farthest": found.exposure_worst if found.counted else None,
        },
        **{f"by_{name[:-5]}": rows for name, rows in tables.items() if name != "answers.csv"},
    }


def _plots(config: StudyConfig, found: Figures) -> dict[str, str]:
    plots: dict[str, str] = {}
    for question in config.questions:
        groups = [group for group in found.methods if group.question == question]
        plots[f"methods-{question}"] = _plot(f"Fool rate: {question}", groups, lambda group: group.method)
        images = [group for group in found.images if group.question == question]
        label: Callable[[Group], str] = lambda group: f"{group.method}: {group.image}"  # noqa: E731
        plots[f"images-{question}"] = _plot(f"Fool rate by image: {question}", images, label)
        subjects = [
            Bar(f"{', '.join(of.methods)}: {of.number}", of.rate.share, *of.rate.interval, _note(of.rate))
            for of in found.subjects
            if of.question == question and of.rate.answers
        ]
        plots[f"subjects-{question}"] = plot_shares(f"Fool rate by subject: {question}", subjects)
    return plots


def _plot(title: str, groups: Iterable[Group], label: Callable[[Group], str]) -> str:
    bars = [
        Bar(label(group), group.rate.share, *group.rate.interval, _note(group.rate))
        for group in groups
        if group.rate.answers
    ]
    return plot_shares(title, bars)


def _note(rate: Rate) -> str:
    return f"{rate.share:.1%} of {rate.answers}"


def _html(config: StudyConfig, found: Figures, plots: dict[str, str]) -> str:
    summary = _summary(config, found, {})
    out = "; ".join(f"{count} {reason}" for reason, count in summary["subjects"]["left_out"].items()) or "none"
    faults = "; ".join(f"{count} {reason}" for reason, count in found.answers_left_out.items()) or "none"
    rows = "".join(_html_row(group) for group in found.methods)
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Report: {escape(config.page.title)}</title>",
        f"<style>{_STYLE}</style><h1>{escape(config.page.title)}</h1>",
        "<p>The fool rate is the share of pairs in which the output of the method was chosen over the photograph. "
        "Guessing gives 50%. Intervals are 95% Wilson intervals.</p>",
        f"<p>{len(found.subjects)} subjects; excluded: {out}. {len(found.counted)} answers count; excluded answers of "
        f"the other subjects: {faults}.</p>",
        "<table><tr><th>Question<th>Method<th>Subjects<th>Answers<th>Fool rate<th>95% interval</tr>",
        f"{rows}</table>",
        *(f"<p><b>{question}</b>: {escape(QUESTIONS[question])}</p>" for question in config.questions),
    ]
    for question in config.questions:
        parts += [plots[f"methods-{question}"]]
        for kind in ("images", "subjects"):
            parts += [f"<details><summary>By {kind[:-1]}: {question}</summary>{plots[f'{kind}-{question}']}</details>"]
    parts += ["<h2>Which answers count</h2><ul>", *(f"<li>{escape(rule)}</li>" for rule in rules(config)), "</ul>"]
    return "\n".join([*parts, "</html>", ""])


def _html_row(group: Group) -> str:
    low, high = group.rate.interval
    share = f"{group.rate.share:.1%}" if group.rate.answers else "no answers"
    cells = (
        group.question,
        escape(group.method),
        group.subjects,
        group.rate.answers,
        share,
        f"{low:.1%} to {high:.1%}",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
