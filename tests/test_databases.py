"""Both engines that tests run on are real, empty at the start, and apart from each other."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, inspect, text


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database_of_its_own(empty_database_url: str, turn: int) -> None:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE only_here (n INTEGER)"))
        connection.execute(text("INSERT INTO only_here VALUES (:n)"), {"n": turn})
        assert connection.execute(text("SELECT n FROM only_here")).scalars().all() == [turn]
    engine.dispose()
