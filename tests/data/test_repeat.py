import itertools

import pytest

from gdengine.data import Repeat


def test_it_goes_through_again_and_again():
    assert list(itertools.islice(Repeat("abc"), 8)) == list("abcabcab")


@pytest.mark.parametrize("taken", range(8))
def test_it_goes_on_from_any_position(taken):
    repeat = Repeat("abc")
    for _ in range(taken):
        next(repeat)
    again = Repeat("abc")
    next(again)
    again.load_state_dict(repeat.state_dict())
    assert [next(again) for _ in range(5)] == [next(repeat) for _ in range(5)]


@pytest.mark.parametrize("batches", [[], iter([])])
def test_nothing_to_repeat_is_an_error(batches):
    with pytest.raises(ValueError, match="run out"):
        next(Repeat(batches))


def test_a_generator_is_used_up_after_one_pass():
    repeat = Repeat(letter for letter in "ab")
    assert [next(repeat), next(repeat)] == ["a", "b"]
    with pytest.raises(ValueError, match="generator"):
        next(repeat)


def test_a_position_that_is_none_is_refused():
    repeat = Repeat("abc")
    next(repeat)
    with pytest.raises(ValueError, match="only 3"):
        repeat.load_state_dict({"taken": 4})
    with pytest.raises(KeyError, match="taken"):
        repeat.load_state_dict({"epoch": 0})
    assert next(repeat) == "b"
