"""Each key knows where it was written."""

import pytest

from tests.support.config_files import ConfigFiles

pytestmark = pytest.mark.filterwarnings("error")


def test_each_key_knows_where_it_was_written(config: ConfigFiles) -> None:
    user = config.user('[profiles.p]\nurl = "https://a.test"\nauth = { scheme = "anonymous" }\n')
    system = config.system("[profiles.p]\nretries = 1\ntimeout = 5\n")

    origins = config.load(
        "p", environ={"GATEPASS_PROFILES__P__RETRIES": "2"}, overrides={"protected": True}
    ).key_locations

    assert {".".join(key): origin.where for key, origin in origins.items()} == {
        "url": f"{user}:2:1",
        "auth.scheme": f"{user}:3:10",
        "retries": "GATEPASS_PROFILES__P__RETRIES",
        "timeout": f"{system}:3:1",
        "protected": "overrides",
    }
