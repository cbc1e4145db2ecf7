"""When a model has fallen into saying the same again and again."""

import pytest

from ui.looping import is_looping


@pytest.mark.parametrize(
    "text",
    [
        "the train to the airport is " * 6,
        "Well. " + "so we went there and then " * 7 + "so we",
        "ha " * 60,
        "我们一起去市场买一些新鲜的水果和蔬菜吧，" * 7,
        "ไปตลาดด้วยกันนะครับแล้วกลับบ้าน" * 7,
    ],
    ids=["plain", "begun again", "one word", "Chinese", "Thai"],
)
def test_a_loop(text: str):
    assert any(is_looping(text[:length]) for length in range(1, len(text) + 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no no no no no",
        "Happy birthday to you, happy birthday to you, happy birthday dear Nurul, happy birthday to you.",
        " ".join(f"Bus number {number} goes to Clementi." for number in range(40)),
        "我们一起去市场。" * 3,
    ],
    ids=["nothing", "emphasis", "song", "list", "Chinese"],
)
def test_no_loop(text: str):
    assert not any(is_looping(text[:length]) for length in range(1, len(text) + 1))
