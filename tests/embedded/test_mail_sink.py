from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from devkit.mail_sink import mail_sink


def _message(body: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "onsale@example.test"
    message["To"] = "ada@example.test"
    message["Subject"] = "Your tickets"
    message.set_content(body)
    return message


async def test_a_message_is_kept_as_sent(tmp_path: Path) -> None:
    async with mail_sink(tmp_path) as port:
        await aiosmtplib.send(
            _message("Row B\n.\n.dot first\n"), hostname="127.0.0.1", port=port, start_tls=False
        )
    (file,) = tmp_path.glob("*.eml")
    kept = message_from_bytes(file.read_bytes())
    assert kept["Subject"] == "Your tickets"
    assert kept["X-Envelope-To"] == "ada@example.test"
    body = kept.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.replace(b"\r\n", b"\n") == b"Row B\n.\n.dot first\n"


async def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    async with mail_sink(tmp_path) as port:
        await asyncio.gather(
            *(
                aiosmtplib.send(
                    _message(f"number {n}"), hostname="127.0.0.1", port=port, start_tls=False
                )
                for n in range(20)
            )
        )
    assert len(list(tmp_path.glob("*.eml"))) == 20


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        (["FROB"], "500"),
        (["MAIL FROM:<a@b.test> X=Y"], "501"),
        (["MAIL nobody"], "501"),
        (["RCPT TO:<ada@example.test>"], "503"),
        (["DATA"], "503"),
        (["MAIL FROM:<a@b.test>", "RSET", "RCPT TO:<c@d.test>"], "503"),
        (["MAIL FROM:<a@b.test>", *["RCPT TO:<c@d.test>"] * 101], "452"),
        (["QUIT"], "221"),
    ],
)
async def test_commands_out_of_place_are_refused(
    commands: list[str], reply: str, tmp_path: Path
) -> None:
    async with mail_sink(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        for command in ["HELO test", *commands]:
            writer.write(f"{command}\r\n".encode())
            answer = await reader.readline()
        assert answer.decode().startswith(reply)
        writer.close()
        await writer.wait_closed()


async def test_a_line_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with mail_sink(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b"x" * 20_000 + b"\r\n")
        assert (await reader.readline()).startswith(b"500")
        writer.close()
        await writer.wait_closed()


async def test_an_open_connection_does_not_keep_the_sink_from_closing(tmp_path: Path) -> None:
    async with mail_sink(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
