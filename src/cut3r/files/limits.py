"""Numbers from files that nobody vouches for: whole and within limits, or refused before anything is built of them."""

import reprlib


def check_numbers(part: str, holder: object, **most: int) -> None:
    """Refuse an attribute that is no whole number from 1 to its limit.

    Raises:
        ValueError: Names the part, the attribute, its value and the limit.
    """
    for name, limit in most.items():
        whole_numbers(f"{part}: {name}", (getattr(holder, name),), 1, limit)


def whole_numbers(name: str, values: object, count: int, most: int) -> tuple[int, ...]:
    """Give a list or tuple of so many whole numbers from 1 to `most` as a tuple.

    Raises:
        ValueError: They are not that.
    """
    numbers = tuple(values) if isinstance(values, list | tuple) else ()
    fine = [isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= most for n in numbers]
    if len(fine) != count or not all(fine):
        value = numbers[0] if count == len(numbers) == 1 else values
        expected = "a whole number" if count == 1 else f"{count} whole numbers"
        raise ValueError(f"{name} is {shown(value)}; expected is {expected} from 1 to {most:,}")
    return numbers


def shown(value: object) -> str:
    """A value from a file, short enough for a message."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"  # Python refuses to print numbers of many thousand digits
    return reprlib.repr(value)
