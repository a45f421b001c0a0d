import pytest

from cut3r.io.json_fields import an_object

CONTENT = {"parameters": [{"Camera": {"focal": 20}}], "name": "left"}


def test_objects_are_found_inside_objects_and_lists():
    assert an_object(CONTENT, "a.json") is CONTENT
    assert an_object(CONTENT, "a.json", "parameters", 0, "Camera") == {"focal": 20}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("other",), r"a\.json: other is missing; expected an object"),
        (("parameters", 1, "Camera"), r"a\.json: parameters\.1\.Camera is missing"),
        (("parameters", "0"), r"parameters\.0 is missing"),
        (("name",), r"a\.json: name is \"left\"; expected an object"),
        (("name", 0, "x"), "is missing"),
    ],
)
def test_what_is_no_object_is_named(keys, message):
    with pytest.raises(ValueError, match=message):
        an_object(CONTENT, "a.json", *keys)
    with pytest.raises(ValueError, match=r"a\.json: it is \[1\]"):
        an_object([1], "a.json")
