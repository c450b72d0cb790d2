"""The secrets that stored values are signed with: from the configuration, or a key kept beside the disk file.

Whoever knows the secret can make values that are unpickled, so it is worth what the account of the program is worth.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Iterable, Mapping, Optional, Union

from catzilla_cache.errors import CacheNotAvailableError, CacheValueError

VARIABLE = "CATZILLA_CACHE_SECRET"

#: The file of a disk tier's own key, in its folder.
KEY_FILE = "values.key"

_KEY_LEN = 32

#: 128 bits, if they are random: what an attacker cannot try out.
LEAST_LEN = 16

NO_SECRET = (
    "where others can write, as in Redis, such values must be signed, and there is no secret to sign with. Configure the "
    f"same one for all processes, with SmartCacheConfig(secret=...) or {VARIABLE}, or choose a codec that is safe to read, "
    "such as json"
)

Secret = Union[str, bytes]


def secret_for(
    configured: Union[None, Secret, Iterable[Secret]],
    *,
    redis: bool,
    disk_folder: Union[None, str, "os.PathLike[str]"],
    environment: Optional[Mapping[str, str]] = None,
) -> tuple[bytes, ...]:
    """The secrets of a cache that has these tiers; the first signs, all are believed.

    Those configured, or those of ``CATZILLA_CACHE_SECRET`` (several with spaces between); else the disk tier's own key, if no
    Redis is there: other machines could not read what it signs. None at all: values that need one cannot be stored.
    """
    if configured is None:
        configured = (os.environ if environment is None else environment).get(VARIABLE, "").split()
    given = [configured] if isinstance(configured, (str, bytes)) else list(configured)
    if given:
        return tuple(checked(secret) for secret in given)
    if disk_folder is not None and not redis:
        return (disk_secret(disk_folder),)
    return ()


def checked(secret: Secret) -> bytes:
    """The secret's bytes; ``CacheValueError`` when it is too short to be one."""
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogatepass")
    if not isinstance(secret, bytes):
        raise CacheValueError(f"a secret is str or bytes, not {type(secret).__name__}")
    if len(secret) < LEAST_LEN:
        raise CacheValueError(
            f"a secret of {len(secret)} bytes can be guessed: it needs at least {LEAST_LEN}, at random; "
            "`python -c 'import secrets; print(secrets.token_hex(32))'` makes one"
        )
    return secret


def disk_secret(folder: Union[str, "os.PathLike[str]"]) -> bytes:
    """The key kept in a disk tier's folder, made when there is none. The same for all processes that race for it.

    ``CacheNotAvailableError`` when the file could have been read or written by somebody else.
    """
    path = Path(folder) / KEY_FILE
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise CacheNotAvailableError(f"the key of the disk tier cannot be used: {error}") from error


def _read(path: Path) -> bytes:
    try:
        # Not blocking, should it be a pipe.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unusable(path, "it is a symbolic link") from None
        raise
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise _unusable(path, "it is not a file")
        if facts.st_uid != os.geteuid():
            raise _unusable(path, f"it belongs to user {facts.st_uid}, not to user {os.geteuid()}, who runs this")
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise _unusable(
                path, f"others may read or write it: its mode is {stat.S_IMODE(facts.st_mode):04o}, not 0600"
            )
        # One byte more than there should be.
        key = os.read(file, _KEY_LEN + 1)
    finally:
        os.close(file)
    if len(key) != _KEY_LEN:
        raise _unusable(path, f"it has not the {_KEY_LEN} bytes of a key")
    return key


def _make(path: Path) -> None:
    """Writes a whole file under another name first: under its own one it is there with all its bytes, or not at all."""
    written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            # Whatever the umask took away.
            os.fchmod(file, 0o600)
            os.write(file, secrets.token_bytes(_KEY_LEN))
            os.fsync(file)
        finally:
            os.close(file)
        os.link(written, path)
    except FileExistsError:
        # Another process was faster; its key is everybody's.
        pass
    finally:
        os.unlink(written)


def _unusable(path: Path, why: str) -> CacheNotAvailableError:
    return CacheNotAvailableError(
        f"the key of the disk tier, {path}, cannot be trusted: {why}. Delete the file: a new one is made, and values signed "
        "with the old one become misses"
    )
