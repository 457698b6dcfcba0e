"""Pictures matched by name."""

from pathlib import Path

import pytest

from sr3.data.sources import FolderSource
from sr3.errors import DataError
from sr3.evaluation.matching import files_of, match, match_samples, names_of, some_of


def folder(*names):
    return FolderSource([Path("root") / name for name in names], Path("root"))


def test_a_name_is_the_path_below_the_folder_without_its_suffix():
    assert names_of(folder("b.png", "a/c.v2.jpg"), "root") == {"a/c.v2": 1, "b": 0}


def test_two_files_of_one_name_are_refused():
    with pytest.raises(DataError, match=r"root: a.png and a.jpg share the name a; keep one"):
        names_of(folder("a.png", "a.jpg"), "root")


def test_what_does_not_match_is_listed():
    with pytest.raises(DataError, match=r"out: no image for 2 \(a, b\); 1 without a truth \(x\); give each result"):
        match(["a", "b", "c"], {"c": 0, "x": 1}, "out")


def test_fifty_names_are_listed_and_further_ones_counted():
    names = [f"n{k}" for k in range(53)]
    with pytest.raises(DataError, match=rf"no image for 50 \({', '.join(names[:50])}\); give"):
        match(names[:50], {}, "out")
    with pytest.raises(DataError, match=r"no image for 53 \(n0, .*, n48, n49 and 3 more\); give"):
        match(names, {}, "out")


def test_samples_are_numbered_as_upscale_numbers_them():
    found = {"a-1": 0, "a-2": 1, "b-1": 2, "b-2": 3}
    assert match_samples(["a", "b"], found, "out", 2) == {"a": [0, 1], "b": [2, 3]}
    with pytest.raises(DataError, match=r"no image for 2 \(a-3, b-3\)"):
        match_samples(["a", "b"], found, "out", 3)


def test_a_method_of_one_answer_may_stand_beside_samples_of_others():
    assert match_samples(["a", "b"], {"a": 0, "b": 1}, "out", 4) == {"a": [0], "b": [1]}


def test_results_of_truths_left_out_may_be_there():
    assert match(["a"], {"a": 0, "b": 1}, "out", known=["a", "b"]) == {"a": 0}
    numbered = {f"{name}-{k + 1}": 2 * place + k for place, name in enumerate("ab") for k in range(2)}
    assert match_samples(["a"], numbered, "out", 2, known=["a", "b"]) == {"a": [0, 1]}
    with pytest.raises(DataError, match=r"1 without a truth \(b\)"):
        match(["a"], {"a": 0, "b": 1}, "out", known=["a"])


def test_names_that_are_no_text_stay_apart_and_can_be_written():
    names = [b"caf\xe9.png".decode("utf-8", "surrogateescape"), b"caf\xe8.png".decode("utf-8", "surrogateescape")]
    assert names_of(folder(*names), "root") == {"caf\\xe9": 0, "caf\\xe8": 1}
    assert set(files_of(folder(*names))) == {"caf\\xe9.png", "caf\\xe8.png"}


def test_files_keep_their_suffixes_so_that_two_may_have_one_stem():
    assert files_of(folder("b.png", "a/c.v2.jpg", "b.jpg")) == {"a/c.v2.jpg": 1, "b.jpg": 2, "b.png": 0}


def test_some_names_are_spread_evenly_over_the_first():
    names = [str(k) for k in range(10)]
    assert some_of(names, 2, first=10) == ["2", "7"]
    assert some_of(names, 2, first=4) == ["1", "3"]
    assert some_of(names, 20, first=3) == ["0", "1", "2"]
    assert some_of(names, None, first=None) == names
