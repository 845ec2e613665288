"""E-mail addresses: one rule for every place where one comes in.

An address is ASCII, as mail servers and payment providers take it: a domain in
another script is written as IDNA does (``xn--...``), a local part in another
script is refused (Stripe refuses it too). So characters are octets, and one
length holds for tokens, documents, records and the provider alike. Whether the
domain answers is not asked: that would be a look-up for every guest. Names under
``.test``, kept for trying things out (RFC 6761), are taken like real ones.
"""

from __future__ import annotations

from typing import Final

from email_validator import EmailNotValidError, validate_email

EMAIL_LENGTH_MAX: Final = 254  # octets: RFC 5321, 4.5.3.1.3, less the angle brackets


def email_address(text: str) -> str:
    """Return an address as it is kept. Raises :class:`ValueError` with a sentence."""
    if len(text) > EMAIL_LENGTH_MAX:
        raise ValueError(f"An e-mail address has at most {EMAIL_LENGTH_MAX} characters")
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            strict=True,
            test_environment=True,
        )
    except EmailNotValidError as error:
        raise ValueError(f"This is not an e-mail address: {str(error).rstrip('.')}") from error
    address = found.ascii_email
    if "." not in found.ascii_domain:
        raise ValueError("This is not an e-mail address: its domain has no dot")
    if address is None or len(address) > EMAIL_LENGTH_MAX:
        raise ValueError(f"An e-mail address has at most {EMAIL_LENGTH_MAX} characters")
    return address
