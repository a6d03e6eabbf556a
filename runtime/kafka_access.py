"""How to reach the brokers, as plain data: a process can hand it to another."""

import ssl
from collections.abc import Iterator
from typing import Any

import msgspec


class KafkaAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses and credentials, the password in clear; its text leaves that out."""

    bootstrap_servers: str
    security_protocol: str
    sasl_mechanism: str
    sasl_username: str | None
    sasl_password: str | None
    ssl_cafile: str | None

    def __repr__(self) -> str:
        return f"KafkaAccess({self.bootstrap_servers!r}, {self.security_protocol!r})"

    def __rich_repr__(self) -> Iterator[str]:
        yield self.bootstrap_servers
        yield self.security_protocol

    def options(self) -> dict[str, Any]:
        """Options that every aiokafka client takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = ssl.create_default_context(cafile=self.ssl_cafile)
        return options
