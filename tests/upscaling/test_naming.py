"""Names of results."""

from pathlib import Path

import pytest

from sr3.errors import ConfigError, ImageError
from sr3.upscaling.naming import ONE_SAMPLE, Naming, Outputs, plan_jobs


def targets(*sources, outputs=ONE_SAMPLE, **naming):
    jobs = plan_jobs([Path(source) for source in sources], Path("out"), outputs=outputs, naming=Naming(**naming))
    return [job.target.name for job in jobs]


def test_a_result_keeps_its_name_and_its_format():
    assert targets("a.jpg", "b.TIF", "c.gif", "d") == ["a.jpg", "b.TIF", "c.gif.png", "d.png"]


def test_a_format_takes_the_place_of_the_suffix():
    assert targets("a.jpg", "b.gif", format="webp") == ["a.webp", "b.webp"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{stem}-x{scale}{suffix}", "a-x4.png"),
        ("{stem}-x{scale}", "a-x4.png"),
        ("{model} of {stem}", "photos of a.png"),
        ("{{{stem}}}", "{a}.png"),
    ],
)
def test_a_pattern_names_the_result(pattern, name):
    assert targets("x/a.png", pattern=pattern, scale=4, model="photos") == [name]


@pytest.mark.parametrize(
    ("naming", "complaint"),
    [
        ({"pattern": "{stam}"}, r"there is no \{stam\}"),
        ({"pattern": "{stem"}, "write it like"),
        ({"pattern": "a/{stem}"}, "cannot be a file name"),
        ({"pattern": ""}, "cannot be a file name"),
        ({"pattern": "{model}", "model": "../../evil"}, "cannot be a file name"),
        ({"pattern": "{stem}{model}", "model": "a\\b"}, "cannot be a file name"),
        ({"pattern": "{scale:s}"}, "takes no :"),
        ({"pattern": "{stem!x}"}, "takes no : and no !"),
        ({"pattern": "{stem:{foo}}"}, "takes no :"),
        ({"format": "gif"}, "--format gif: is not a format"),
    ],
)
def test_names_that_cannot_be_are_refused(naming, complaint):
    with pytest.raises(ConfigError, match=complaint):
        targets("a.png", **naming)


def test_a_name_for_a_file_that_is_named_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="leave out --name"):
        plan_jobs([Path("a.png")], tmp_path / "b.png", outputs=ONE_SAMPLE, naming=Naming(pattern="{stem}-big"))
    with pytest.raises(ConfigError, match="leave out --name"):
        plan_jobs([Path("a.png")], tmp_path / "b.png", outputs=ONE_SAMPLE, naming=Naming(format="jpg"))


def test_two_inputs_of_one_name_and_a_clash_of_extras_are_refused():
    with pytest.raises(ImageError, match="would both become"):
        targets("a.jpg", "a.png", format="png")
    with pytest.raises(ImageError, match="would both become"):
        targets("a.png", "a-process.png", outputs=Outputs(process=True))


def test_every_file_of_a_result_has_a_name_of_its_own():
    names = [path.name for path in Outputs(3, uncertainty=True, process=True).all_of(Path("o/a.jpg"))]
    samples, summary = ["a-1.jpg", "a-2.jpg", "a-3.jpg"], ["a-mean.jpg", "a-deviation.png", "a-apart-1.jpg"]
    assert names == [*samples, *summary, "a-apart-2.jpg", "a-process.png", "a-process.webp"]
    assert Outputs().all_of(Path("o/a.jpg")) == [Path("o/a.jpg")]
