"""What nobody may read in a log, a record or a report: passwords and keys inside addresses."""

from __future__ import annotations

import re

# names of query parameters whose values open something; azure's "sig", s3's and google's "X-Amz-Signature", ...
KEYS = re.compile(
    r"token|secret|passw|pwd|signature|credential|auth|(?:api|access|account|private|subscription)[-_.]?key|^sig$|^key$"
    r"|^x-(?:amz|goog|ms)-",
    re.IGNORECASE,
)
_USER = re.compile(r"([a-z][a-z0-9+.-]*://)([^\s/?#'\"<>]+)@", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;])([^\s?&;=#'\"<>]+)=([^\s&;#'\"<>]*)")
HIDDEN = "***"


def shown(text: str) -> str:
    """A text as it may be read by others: `https://ann:secret@host/x?token=abc` becomes `https://***@host/x?token=***`.

    Everything else stays as it is.
    """
    if "://" not in text and "=" not in text:
        return text
    text = _USER.sub(lambda found: f"{found[1]}{HIDDEN}@" if _opens(found[1], found[2]) else found[0], text)
    return _PARAMETER.sub(
        lambda found: f"{found[1]}{found[2]}={HIDDEN}" if found[3] and KEYS.search(found[2]) else found[0], text
    )


def has_password(address: str) -> bool:
    """Whether an address names a user with a password, or a token in its place."""
    found = _USER.match(address.strip())
    return found is not None and _opens(found[1], found[2])


def has_key(address: str) -> bool:
    """Whether the query of an address holds a key, as a signed address does."""
    return any(found[3] and KEYS.search(found[2]) for found in _PARAMETER.finditer(address))


def without_key(address: str) -> str:
    """An address without its query where that holds a key: what a record may keep of it."""
    return address.partition("?")[0] if has_key(address) else address


def _opens(scheme: str, user: str) -> bool:
    """`ann@host` of ssh and `container@account` of Azure are names; a name alone before a web server is a token."""
    return ":" in user or scheme.lower() in ("http://", "https://")
