"""What was probably meant by a name that does not exist."""

from gatepass._config.suggest import unknown_name, unknown_profile


def test_of_very_many_names_some_are_listed_and_none_is_guessed() -> None:
    """Each of thousands of profiles may name a wrong one: the complaints stay short, and soon."""
    some = {f"profile{number}" for number in range(300)}
    many = {f"profile{number}" for number in range(5000)}

    assert 'did you mean "profile17"?' in unknown_name("profle17", some, "profile")
    assert " and 250 more" in unknown_name("profle17", some, "profile")
    message = unknown_name("profle17", many, "profile")
    assert "did you mean" not in message
    assert message.endswith(" and 4950 more)")
    assert len(message) < 1000


def test_a_near_name_is_guessed_and_a_far_one_is_not() -> None:
    assert 'did you mean "retries"?' in unknown_name("retires", ["url", "retries"], "key")
    assert unknown_name("xyz", ["url", "retries"], "key") == (
        "unknown key (allowed here: retries, url)"
    )
    assert unknown_name("xyz", [], "key").endswith("(allowed here: none)")


def test_only_profiles_that_can_be_selected_are_offered() -> None:
    message = unknown_profile("prod", ["prod-1", "prod 2", "$(prod)"])

    assert message == 'unknown profile; did you mean "prod-1"? (allowed here: prod-1)'
