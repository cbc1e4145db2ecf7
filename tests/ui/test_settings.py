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


@pytest.mark.parametrize("name", ["MERALION_KIOKS", "MERALION_KIOSK_MODE", "MERALION_BACKEND"])
def test_a_slip_in_a_name_that_others_share_is_refused_with_what_was_meant(name: str):
    with pytest.raises(SettingsError, match=f"{name} is not a setting.*write MERALION_"):
        read({name: "1"})


@pytest.mark.parametrize("name", ["MERALION_MODELS", "MERALION_PORT", "MERALION_KIOSK", "PATH"])
def test_what_others_read_is_left_alone(name: str):
    assert read({name: "1"})


def test_a_kiosk_is_one_only_where_that_is_said(environment):
    assert not settings().kiosk
    settings.cache_clear()
    environment.setenv("MERALION_KIOSK", "perhaps")
    with pytest.raises(SettingsError, match="MERALION_KIOSK cannot be used"):
        settings()
    environment.setenv("MERALION_KIOSK", "1")
    assert settings().kiosk
