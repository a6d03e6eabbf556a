"""How to reach the brokers, as plain data."""

import msgspec
from pydantic import SecretStr
from rich.pretty import pretty_repr

from console.desk.letter_process import Order
from runtime.kafka_access import KafkaAccess
from runtime.settings import KafkaSettings

SECRET = "s3cret"
SETTINGS = KafkaSettings(
    bootstrap_servers="broker:9093",
    security_protocol="SASL_PLAINTEXT",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="desk",
    sasl_password=SecretStr(SECRET),
)


def test_a_client_gets_the_password_and_no_text_does() -> None:
    """Nor a text of what holds it, nor what is printed of it in colours."""
    access = SETTINGS.access
    assert access.options() == {
        "bootstrap_servers": "broker:9093",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "desk",
        "sasl_plain_password": SECRET,
    }
    order = Order(access=access, topic="t", producer_header="p", starts={}, ends={0: 1}, lean=True)
    for text in (repr(access), str(access), pretty_repr(access), repr(order), pretty_repr(order)):
        assert SECRET not in text
        assert "broker:9093" in text


def test_another_process_reads_what_one_wrote() -> None:
    """With everything that a client needs."""
    access = SETTINGS.access
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(access), type=KafkaAccess) == access


def test_without_security_there_is_nothing_else_to_tell() -> None:
    """The password of another protocol is not handed on."""
    plain = SETTINGS.model_copy(update={"security_protocol": "PLAINTEXT"}).access.options()
    assert plain == {"bootstrap_servers": "broker:9093", "security_protocol": "PLAINTEXT"}
