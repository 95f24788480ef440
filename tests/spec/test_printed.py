"""Published numbers are kept as they are printed, with their last zeros."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.spec.printed import Printed
from harness.spec.table import Column, Row


def test_last_zeros_are_decimals() -> None:
    assert (Printed("61.30").digits, Printed("61.3").digits, Printed("61").digits) == (2, 1, 0)
    assert Printed("61.30").value == Printed("61.3").value
    assert Printed("61.30") != Printed("61.3")
    assert Printed("0.1").exact == Fraction(1, 10)
    assert Printed("61.30").resolution == pytest.approx(0.005)
    assert Printed("61").resolution == 0.5


def test_a_number_has_its_shortest_decimals_padded_to_those_of_the_metric() -> None:
    assert Printed.of(61.3).text == "61.3"
    assert Printed.of(75.0).text == "75" == Printed.of(75).text
    assert Printed.of(1e-5).text == "0.00001"
    assert Printed.of(61.3).padded(2).text == "61.30"
    assert Printed.of(75).padded(2).text == "75.00"
    assert Printed.of(16.863).padded(2).text == "16.863"
    assert Printed.of("61.3").padded(2).text == "61.3"  # as printed


@given(st.floats(-1e9, 1e9, allow_nan=False).map(lambda v: round(v, 6)))
def test_no_number_is_changed(number: float) -> None:
    assert Printed.of(number).value == number
    assert float(Printed.of(number).padded(8).text) == number


@pytest.mark.parametrize(
    "wrong", ["", "61,30", "61.", ".5", "nan", "1e3", "٦١", "61.30%", " 61", "9" * 99, True, None]
)
def test_what_is_no_decimal_number_is_refused_in_one_line(wrong: object) -> None:
    with pytest.raises(UserError) as refused:
        Row(name="mae", label="MAE", stages=None, printed={"btmd": wrong})  # type: ignore[dict-item]
    text = str(refused.value)
    assert text.startswith("Row 'mae', printed['btmd']: A printed number is ")
    assert "allowed: " in text and "\n" not in text and len(text) < 300


def test_rows_take_texts_and_numbers() -> None:
    column = Column(dataset="btmd")
    for given_number, text in (("90.60", "90.60"), (90.6, "90.6"), (Printed("90.6"), "90.6")):
        row = Row(name="mae", label="MAE", stages=None, printed={"btmd": given_number})
        printed = row.printed_in(column)
        assert printed is not None and printed.text == text
        assert row.printed_numbers == {"btmd": printed}
    assert row.printed_in(Column(dataset="busi")) is None


@pytest.mark.parametrize("name", ["runs", "images"])
@pytest.mark.parametrize("wrong", [0, -3, True, 2.5, "3", 10**9])
def test_runs_and_images_are_positive_whole_numbers(name: str, wrong: object) -> None:
    with pytest.raises(UserError, match=rf"Printed\.{name} is .*; allowed: "):
        Printed("83.6", **{name: wrong})  # type: ignore[arg-type]


def test_runs_and_images_of_a_number_are_kept() -> None:
    number = replace(Printed.of(83.5), runs=3, images=233).padded(2)
    assert (number.text, number.runs, number.images) == ("83.50", 3, 233)
    assert not number.exact_decimals
    assert Printed("83.6", runs=3) != Printed("83.6")
