"""What `sr3 --help` shows: titled groups of options, and examples that are real commands."""

import re
import shlex

import pytest
import typer.main

from command_lines import commands, parse
from sr3.cli.app import app, run
from sr3.cli.help import UNTITLED

VERBS = {" ".join(path): command for path, command in commands(typer.main.get_command(app))}


def shown(verb: str, capsys) -> str:
    assert run([*verb.split(), "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_help_ends_with_two_or_three_examples_that_parse(verb, capsys):
    _, title, examples = shown(verb, capsys).partition("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines()]
    assert title
    assert len(lines) in (2, 3)
    for line in lines:
        words = shlex.split(line, comments=True)
        assert " ".join(words).startswith(f"sr3 {verb}".rstrip())
        parse(words[1:])


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_belongs_to_a_titled_group(verb):
    every_command = {"help", "version", "install_completion", "show_completion"}
    untitled = {one.name for one in VERBS[verb].params if not getattr(one, "rich_help_panel", None)}
    assert untitled <= every_command


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_every_option_once_and_every_group(verb, capsys):
    text = shown(verb, capsys).partition("\nExamples:\n")[0]
    names = [name for line in re.findall(r"^  (-.*)", text, re.MULTILINE) for name in option_names(line)]
    options = [one for one in VERBS[verb].params if one.param_type_name == "option"]
    assert sorted(names) == sorted(
        {"-h", "--help"} | {name for one in options for name in (*one.opts, *one.secondary_opts)}
    )
    for option in VERBS[verb].params:
        panel = getattr(option, "rich_help_panel", None) or UNTITLED
        assert f"\n{panel}:\n" in text


def option_names(line: str) -> list[str]:
    """The options in the left column of a line of help."""
    return re.findall(r"(?<!\S)--?[\w-]+", line.partition("  ")[0])


def test_the_list_of_commands_says_whole_sentences(capsys):
    listed = shown("", capsys).partition("\nCommands:\n")[2].partition("\nExamples:\n")[0]
    assert len(listed.strip().splitlines()) == len({verb.split()[0] for verb in VERBS if verb})
    assert "..." not in listed


@pytest.mark.parametrize("wrong", ["upscale --sclae 2 photo.png", "train photos-x4 --data photos/", "uspcale a.png"])
def test_a_wrong_example_would_not_parse(wrong):
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        parse(shlex.split(wrong))
