"""Warnings are recorded by thread, and the process's own hook is there again afterwards."""

import threading
import warnings

import pytest

from sr3.images.recorded_warnings import recorded_warnings


def test_the_innermost_records_and_the_rest_is_as_before():
    before = warnings.showwarning, list(warnings.filters)
    with recorded_warnings() as outer:
        warnings.warn("first", stacklevel=1)
        with recorded_warnings() as inner:
            warnings.warn("second", stacklevel=1)
        warnings.warn("third", stacklevel=1)
    assert [str(one) for one in outer] == ["first", "third"]
    assert [str(one) for one in inner] == ["second"]
    assert (warnings.showwarning, list(warnings.filters)) == before
    with pytest.warns(UserWarning, match="fourth"):
        warnings.warn("fourth", stacklevel=1)


def test_threads_that_overlap_record_their_own_and_leave_nothing_behind():
    before = warnings.showwarning, list(warnings.filters)
    barrier, found = threading.Barrier(3), {}

    def record(name: str):
        with recorded_warnings() as caught:
            barrier.wait()
            for _ in range(20):
                warnings.warn(name, stacklevel=1)
            barrier.wait()
        found[name] = [str(one) for one in caught]

    threads = [threading.Thread(target=record, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: [name] * 20 for name in "abc"}
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_an_error_inside_puts_the_hook_back():
    before = warnings.showwarning
    with pytest.raises(ValueError, match="broken"), recorded_warnings():
        raise ValueError("broken")
    assert warnings.showwarning is before
