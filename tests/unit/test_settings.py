"""Settings: where a value comes from, what is refused and how it is said, and the file of sites."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from console.configuration import effective, load_settings, parse_sets, unknown_variables
from console.errors import UsageError
from runtime.refusals import SettingsRefused
from runtime.settings import CONFIG_FILE, Settings, describe, milliseconds
from runtime.sites import load_sites, site_windows


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable of ours and no file: what is left are the defaults. Returns the working directory."""
    monkeypatch.setenv(CONFIG_FILE, "")  # so that whatever a test leaves there is undone
    for name in [name for name in os.environ if name.startswith("VELOCITY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(*sets: str, file: Path | None = None) -> str:
    """What is said about settings that are wrong."""
    with pytest.raises(UsageError) as refused:
        load_settings(sets, file)
    assert refused.value.exit_code == 2
    return str(refused.value)


# -- where a value comes from ------------------------------------------------------------------------------------------


def test_two_underscores_nest(monkeypatch: pytest.MonkeyPatch) -> None:
    """`VELOCITY_WINDOW__MAX_OUT_OF_ORDERNESS` is window.max_out_of_orderness; one underscore stays in the name."""
    monkeypatch.setenv("VELOCITY_WINDOW__MAX_OUT_OF_ORDERNESS", "PT90S")
    monkeypatch.setenv("VELOCITY_TOPICS__PARTITIONS", '{"orders": 12}')
    monkeypatch.setenv("VELOCITY_STATE_DIR", "/state")
    settings = Settings()
    assert settings.window.max_out_of_orderness == timedelta(seconds=90)
    assert settings.topics.partitions == {"orders": 12}
    assert settings.state_dir == Path("/state")


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place takes over what it names and leaves the rest, even within one section."""
    (bare / "velocity.toml").write_text(
        '[stream]\ncodec = "null"\nhttp_port = 1\nchunk_records = 6000\n[store]\nurl = "from-file"\n'
    )
    monkeypatch.setenv("VELOCITY_STREAM__HTTP_PORT", "2")
    monkeypatch.setenv("VELOCITY_STREAM__CODEC", "zstandard")
    flags = ["stream.codec=deflate"]
    settings = load_settings(flags)
    assert settings.stream.codec == "deflate"
    assert settings.stream.http_port == 2
    assert settings.stream.chunk_records == 6000
    assert settings.store.url == "from-file"
    assert settings.stream.http_host == "127.0.0.1"
    origins = {name: origin for name, _, origin in effective(settings, parse_sets(flags))}
    assert origins["stream.codec"] == "flag"
    assert origins["stream.http_port"] == "VELOCITY_STREAM__HTTP_PORT"
    assert origins["stream.chunk_records"] == origins["store.url"] == "velocity.toml"
    assert origins["stream.http_host"] == "default"


def test_the_file_can_be_another_one(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`VELOCITY_CONFIG_FILE` names it, `--config` takes precedence, and velocity.toml is then not read."""
    for name, url in (("velocity.toml", "a"), ("b.toml", "b"), ("c.toml", "c")):
        (bare / name).write_text(f'[store]\nurl = "{url}"\n')
    monkeypatch.setenv(CONFIG_FILE, "b.toml")
    assert load_settings().store.url == "b"
    assert load_settings(file=bare / "c.toml").store.url == "c"


def test_values_do_not_leak_from_one_load_into_the_next() -> None:
    """Defaults are not shared state."""
    assert load_settings(["intake.sku_pattern=x", "stream.http_port=1"]).stream.http_port == 1
    assert load_settings().stream.http_port == 8081
    assert load_settings().intake.sku_pattern != "x"


def test_the_short_names_reach_the_intake(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sku_pattern` and `unit_codes` are short for those of the intake."""
    monkeypatch.setenv("VELOCITY_SKU_PATTERN", r"\d{5}")
    monkeypatch.setenv("VELOCITY_UNIT_CODES", '["EA", "BOX"]')
    intake = Settings().intake
    assert (intake.sku_pattern, intake.unit_codes) == (r"\d{5}", ("EA", "BOX"))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("window.spec", "PT7H", "PT7H"),
        ("window.spec", "shifts:25:00", "25:00"),
        ("window.idle_policy", "never", "'advance' or 'hold'"),
        ("window.idle_timeout", "10 minutes", "ISO 8601"),
        ("window.idle_timeout", "PT0S", "longer than nothing"),
        ("kafka.transaction_timeout", "PT21S", "less than or equal"),
        ("default_time_zone", "Europe/Atlantis", "IANA"),
        ("intake.sku_pattern", "[", "regular expression"),
        ("stream.chunk_records", "20001", "20000"),
        ("velocity.abc_a", "0.99", "ascend"),
        ("velocity.class_runs", "3", "go together"),
        ("velocity.class_margin", "0.1", "go together"),
        ("velocity.horizons", '["rolling_30d", "rolling_30d"]', "each once"),
        ("velocity.horizons", '["rolling_8d"]', "rolling_7d"),
        ("velocity.class_metric", "lines", "normalized_lines"),
        ("worker_id", "../x", "pattern"),
        ("stream.codec", "snappy", "deflate"),
    ],
)
def test_a_bad_value_names_the_setting_and_what_is_allowed(setting: str, value: str, said: str) -> None:
    """The message has the setting, the value that was given, where it came from, and the rule."""
    text = complaint(f"{setting}={value}")
    assert setting.rpartition(".")[0] in text
    assert said in text


def test_a_bad_value_says_where_it_came_from(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment and file are told apart, and all that is wrong is said at once."""
    (bare / "velocity.toml").write_text('[stream]\nhttp_port = "eighty"\n')
    monkeypatch.setenv("VELOCITY_BATCH__THREADS", "0")
    text = complaint("log.level=loud")
    assert "stream.http_port is 'eighty' (from velocity.toml)" in text
    assert "batch.threads is '0' (from VELOCITY_BATCH__THREADS)" in text
    assert "log.level is 'loud' (from flag)" in text


def test_a_setting_that_is_none_is_refused_with_the_one_that_was_meant(bare: Path) -> None:
    """A typing error in a flag or in the file does not silently mean the default."""
    assert "did you mean window.spec" in complaint("window.spek=PT1H")
    (bare / "velocity.toml").write_text("[strem]\nhttp_port = 1\n")
    assert "strem: there is no such setting" in complaint()


def test_a_variable_that_is_no_setting_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no effect, and `velocity config` says so, with the one that was probably meant."""
    monkeypatch.setenv("VELOCITY_WINDOW_SPEC", "local-day")
    assert unknown_variables() == ["VELOCITY_WINDOW_SPEC (did you mean VELOCITY_WINDOW__SPEC?)"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"[store\n", "not TOML"), (None, "no such file"), (b'[store]\nurl = "\xff"\n', "not TOML")]
)
def test_a_file_that_cannot_be_read_is_named(bare: Path, content: bytes | None, said: str) -> None:
    """Missing, not TOML, or not UTF-8: the message has its path."""
    file = bare / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    text = complaint(file=file)
    assert "mine.toml" in text
    assert said in text


def test_a_flag_needs_a_value() -> None:
    """`--set window.spec` is a usage error, not an empty value."""
    assert "NAME=VALUE" in complaint("window.spec")


# -- durations and secrets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [("PT10M", 600_000), ("P1D", 86_400_000), ("PT0.25S", 250), ("PT1H30M", 5_400_000), ("PT0S", 0)],
)
def test_durations_are_iso_8601(text: str, expected_ms: int) -> None:
    """And are shown as such again."""
    settings = load_settings([f"window.max_out_of_orderness={text}"])
    assert milliseconds(settings.window.max_out_of_orderness) == expected_ms
    shown = describe(settings)["window"]["max_out_of_orderness"]
    assert load_settings([f"window.max_out_of_orderness={shown}"]).window == settings.window


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what `velocity config` shows, nor its JSON, nor a repr or an error has the password in it."""
    monkeypatch.setenv("VELOCITY_KAFKA__SASL_PASSWORD", "open-sesame")
    settings = load_settings()
    shown = json.dumps(describe(settings)) + repr(settings) + str(effective(settings, {}))
    assert "open-sesame" not in shown
    assert "****" in shown
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.get_secret_value() == "open-sesame"
    assert "open-sesame" not in complaint("window.spec=nonsense")
    assert "hush-hush" not in complaint('kafka.sasl_password=[1, "hush-hush"]')


def test_every_setting_is_explained_by_its_default() -> None:
    """Every setting can be given back as it is shown: what `velocity config` prints is valid input."""
    shown = describe(Settings())
    shown["kafka"].pop("sasl_password")
    assert describe(Settings(**shown)) == describe(Settings())


# -- the file of sites -------------------------------------------------------------------------------------------------


def sites(directory: Path, text: str) -> Path:
    file = directory / "sites.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_sites_have_their_zones_and_others_the_default(bare: Path) -> None:
    """A byte order mark, blank space and further columns do no harm."""
    file = sites(bare, "\ufeffsite_id,time_zone,city\nUK-DC1, Europe/London ,Leeds\nNY1,America/New_York,\n")
    assert load_sites(file) == {"UK-DC1": "Europe/London", "NY1": "America/New_York"}
    settings = load_settings([f"sites_file={file}", "default_time_zone=Asia/Tokyo", "window.spec=local-day"])
    zones = site_windows(settings).zones
    assert [zones.zone_of(site).key for site in ("NY1", "elsewhere")] == ["America/New_York", "Asia/Tokyo"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("site,zone\nA,UTC\n", "header must be site_id,time_zone"),
        ("", "header must be site_id,time_zone"),
        ("site_id,time_zone\nA,UTC\nB,Europe/Atlantis\n", "line 3: 'Europe/Atlantis' is not an IANA time zone"),
        ("site_id,time_zone\nA,UTC\n\nA,UTC\n", "line 4: site A stands twice"),
        ("site_id,time_zone\n_A,UTC\n", "line 2: '_A' is not a site id"),
        ("site_id,time_zone\nA\n", "line 2: '' is not an IANA time zone"),
    ],
)
def test_a_wrong_line_of_the_sites_file_is_named(bare: Path, text: str, said: str) -> None:
    """A site in the wrong zone would cut its days wrongly: nothing is guessed, and the line is in the message."""
    with pytest.raises(SettingsRefused) as refused:
        load_sites(sites(bare, text))
    assert said in str(refused.value)
    assert "sites.csv" in str(refused.value)


def test_a_missing_sites_file_is_refused(bare: Path) -> None:
    """It is not taken for an empty one."""
    with pytest.raises(SettingsRefused, match=r"gone\.csv: No such file"):
        site_windows(load_settings([f"sites_file={bare / 'gone.csv'}"]))
