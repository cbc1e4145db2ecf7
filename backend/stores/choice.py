"""Which store the settings ask for."""

from __future__ import annotations

from typing import Literal

from backend.errors import StartError
from backend.redis_link import RedisLink
from backend.settings import Settings
from backend.stores import Store
from backend.stores.answer_file import AnswerFile
from backend.stores.redis import RedisStore
from backend.stores.sqlite import SqliteStore


def chosen(settings: Settings, link: RedisLink | None) -> Literal["sqlite", "redis", "none"]:
    """Return which store it is.

    Where there is a Redis and nothing is said of the store, it is Redis, so that controllers share answers.
    """
    if settings.cache_max_bytes == 0:
        return "none"
    is_said = "cache_store" in settings.model_fields_set
    return settings.cache_store if is_said or link is None else "redis"


def open_store(settings: Settings, link: RedisLink | None) -> Store | None:
    """Return the store, which opens when it is started; None when answers are kept in memory alone, or not.

    Raises StartError for a store in Redis without one.
    """
    match chosen(settings, link):
        case "none":
            return None
        case "sqlite":
            file = AnswerFile(settings.cache_file, settings.cache_file_max_bytes, settings.cache_max_age_s)
            return SqliteStore(file)
        case "redis":
            if link is None:
                raise StartError(
                    "MERALION_CACHE_STORE is redis, and no Redis is named. Set MERALION_REDIS_URL, or set "
                    "MERALION_CACHE_STORE to sqlite."
                )
            return RedisStore(link, settings.cache_max_age_s)
