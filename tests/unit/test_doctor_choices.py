"""Which checks, which thresholds, which findings are fine: as people write it."""

import pytest

from dbops.errors import UsageError
from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.check import Check, Found
from dbops.operations.doctor.choices import Choices, choices
from dbops.operations.doctor.merge import merged

LONG = Check(
    id="D20",
    title="long",
    question="Is it long?",
    limits={"value": Limit(300, 1800, "s"), "size": Limit(None, 10, "B")},
)
TWIN = Check(id="D31", title="twin", question="Is it twice there?")
RARE = Check(id="D45", title="rare", question="Is it rare?", is_opt_in=True)
KNOWN = (LONG, TWIN, RARE)


def chosen(**said: list[str]) -> Choices:
    return choices(KNOWN, **said)


def found(name: str) -> Finding:
    return Finding(object=name, message="it is bad", severity=Severity.WARN)


def test_everything_runs_but_what_has_to_be_asked_for() -> None:
    assert [check.id for check in KNOWN if chosen().runs(check)] == ["D20", "D31"]
    assert chosen(only=["d45"]).runs(RARE)
    assert not chosen(only=["D45"]).runs(LONG)
    assert chosen(only=["D45,d20"]).runs(LONG)
    assert not chosen(skip=["D20"]).runs(LONG)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"only": ["D99"]}, "no such check"),
        ({"skip": ["lag"]}, "no such check"),
        ({"only": ["D20"], "skip": ["D20"]}, "leaves out all"),
        ({"skip": ["D20", "D31", "D45"]}, "leaves out all"),
        ({"ignore": ["D99:x"], "reasons": ["y"]}, "no such check"),
        ({"ignore": ["X*:x"], "reasons": ["y"]}, "no such check"),
        ({"ignore": ["D20:x"]}, "takes a --reason"),
        ({"ignore": ["D20:x", "D31:y", "D31:z"], "reasons": ["a", "b"]}, "--reason"),
        ({"ignore": ["D20:x # "]}, "takes a --reason"),
        ({"reasons": ["for nothing", "at all"]}, "--reason"),
        ({"limits": ["D20"]}, "unit"),
        ({"limits": ["D20=5"]}, "one unit"),
        ({"limits": ["D20=16MB"]}, "one unit"),
        ({"limits": ["D20=5m,1m"]}, "warn before"),
        ({"limits": ["D20=1m,2m,3m"]}, "one or two"),
        ({"limits": ["D20.speed=5m"]}, "no such threshold"),
        ({"limits": ["D31=5m"]}, "no such threshold"),
        ({"limits": ["D20=soon"]}, "unit"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    said: dict[str, list[str]], why: str
) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        chosen(**said)
    assert caught.value.hint


def test_a_threshold_takes_the_place_of_the_checks_own() -> None:
    assert chosen(limits=["D20=5s,30s"]).limits_of(LONG) == {
        "value": Limit(5, 30, "s"),
        "size": Limit(None, 10, "B"),
    }
    # What would fail before it warns gives way.
    assert chosen(limits=["d20=1h"]).limits_of(LONG)["value"] == Limit(3600, 3600, "s")
    assert chosen(limits=["D20.size=1MB"]).limits_of(LONG)["size"].warn == 1 << 20


def test_a_list_that_was_split_at_its_commas_is_read_as_it_was_meant() -> None:
    limits = chosen(limits=["D20=5m", "30m", "D20.size=1MB", "2MB"]).limits_of(LONG)
    assert limits == {
        "value": Limit(300, 1800, "s"),
        "size": Limit(1 << 20, 2 << 20, "B"),
    }
    said = chosen(ignore=["D20:x # dropped", "says Bob, in May", "D31:y # same"])
    assert [it.reason for it in said.ignored] == [
        "dropped,says Bob, in May",
        "same",
    ]


@pytest.mark.parametrize(
    ("ignore", "name", "is_accepted"),
    [
        ("D20:public.ix_*", "public.ix_a", True),
        ("D20:public.ix_*", "private.ix_a", False),
        ("D20", "anything", True),
        ("D*:public.ix_a", "public.ix_a", True),
        ("D31:public.ix_a", "public.ix_a", False),
        ('D20:public."a[1]"', 'public."a[1]"', True),
        ("D20:PUBLIC.ix_a", "public.ix_a", False),
    ],
)
def test_an_accepted_finding_is_one_of_that_check_and_object(
    ignore: str, name: str, *, is_accepted: bool
) -> None:
    counting, accepted = chosen(ignore=[ignore], reasons=["known"]).sorted_out(
        LONG, [found(name)]
    )
    assert (len(counting), len(accepted)) == ((0, 1) if is_accepted else (1, 0))
    if is_accepted:
        assert (accepted[0].object, accepted[0].reason) == (name, "known")


def test_each_ignore_has_its_own_reason_or_all_have_one() -> None:
    both = chosen(ignore=["D20:a # here", "D31:b", "D31:c"], reasons=["one", "two"])
    assert [it.reason for it in both.ignored] == ["here", "one", "two"]
    every = chosen(ignore=["D20:a", "D31:b"], reasons=["for all"])
    assert [it.reason for it in every.ignored] == ["for all", "for all"]


def test_answers_that_differ_are_told_by_who_gave_them() -> None:
    good, bad = Found("all is well"), Found("it is bad", (found("x"),), ("a note",))
    assert merged([("writer", good)]) is good
    assert merged([("writer", good), ("reader", good)]).summary == "all is well"
    both = merged([("a", good), ("b", bad), ("c", good)])
    assert both.summary == "b: it is bad; a, c: all is well"
    assert (len(both.findings), both.notes) == (1, ("a note",))


def test_the_catalogue_is_whole_and_says_what_it_asks() -> None:
    checks = catalogue()
    ids = [check.id for check in checks]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    for check in checks:
        assert check.question.endswith("?"), check.id
        assert check.title == check.title.strip(), check.id
        assert len(check.title) <= 28, check.id
        assert check.role is None or check.role.startswith("pg_"), check.id
        for limit in check.limits.values():
            both = limit.warn is not None and limit.fail is not None
            assert not both or limit.warn <= limit.fail, check.id  # type: ignore[operator] # both are numbers
