"""What a host can set on the pages."""

import pytest

from ui.settings import SettingsError, read, settings


def test_names_that_nobody_reads_are_refused_with_the_ones_there_are():
    with pytest.raises(SettingsError, match=r"MERALION_UI_PAUSE is not a setting.*MERALION_UI_PAUSE_S"):
        read({"MERALION_UI_PAUSE": "3"})


def test_impossible_values_are_refused_by_name(environment):
    environment.setenv("MERALION_UI_MAX_TOKENS", "many")
    with pytest.raises(SettingsError, match="MERALION_UI_MAX_TOKENS cannot be used"):
        settings()


def test_a_backend_that_is_no_address_is_refused(environment):
    environment.setenv("MERALION_BACKEND_URL", "localhost:8000")
    with pytest.raises(SettingsError, match="MERALION_BACKEND_URL"):
        settings()


def test_settings_are_read(environment):
    environment.setenv("MERALION_BACKEND_URL", "http://127.0.0.1:8000")
    environment.setenv("MERALION_UI_PAUSE_S", "3.5")
    assert settings().backend_url == "http://127.0.0.1:8000"
    assert settings().pause_s == 3.5
