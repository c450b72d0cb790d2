"""The status numbers of the C interface that this package looks at, and the largest numbers that mean "no limit".

Numbers are never reused or renumbered by the library, so they may be written down here; a test compares them with the
C header. Used by the backends and by ``errors``; knows nothing of either.
"""

from __future__ import annotations

OK = 0
NOT_FOUND = 1
TRUNCATED = 2
EXISTS = 3
VERSION_MISMATCH = 4
INVALID_ARGUMENT = -100
UNKNOWN_OPTION = -110
INVALID_OPTION = -111
OPTION_OUT_OF_RANGE = -112
OPTION_NOT_LIVE = -113
KEY_TOO_LARGE = -200
VALUE_TOO_LARGE = -201
NOT_A_NUMBER = -210
NUMBER_OVERFLOW = -211
OUT_OF_MEMORY = -300
UNSUPPORTED = -400
TIMED_OUT = -500
LOAD_FAILED = -501
LOAD_REENTERED = -502
TIER_UNAVAILABLE = -600
INTERNAL = -900

TTL_FOREVER = 2**64 - 1
UNLIMITED = 2**64 - 1
WAIT_FOREVER = 2**64 - 1

TIER_MEMORY = 0
TIER_REDIS = 1
TIER_DISK = 2
HEALTH_TEXT = 256

PURGE_ALL = 0
PURGE_PREFIX = 1
PURGE_TAG = 2
PURGE_PATTERN = 3
MAX_PATTERN_LEN = 4096

PUT_IF_ABSENT = 1
PUT_IF_PRESENT = 2
PUT_NOT_TO_DISK = 4
PUT_MEMORY_ONLY = 8
PUT_UNCOMPRESSED = 16
MAX_TAGS = 64
MAX_TAG_LEN = 255

CAUSE_EVICTED = 0
CAUSE_EXPIRED = 1
CAUSE_REPLACED = 2
CAUSE_REMOVED = 3
CAUSE_PURGED = 4

ABI_VERSION = 1
