"""A Store in an S3 bucket, through the `minio` client: any server that speaks S3. The only importer of minio.

An object's key holds its sha256, so writing one twice, or from two workers at once, is harmless; a put is
whole or is not there. No conditional put is used: what only one writer may set (a name) is in the ledger.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error

from shared.errors import ArtifactError, SettingsError, StoreRefusedError, StoreUnavailableError
from shared.store.files import file_digest

PIECE_BYTES = 1 << 18
PROBE = b"a store that Ratchet may use\n"
AWS = "https://s3.amazonaws.com"
HOW_TO_WRITE = "s3://bucket/prefix?endpoint=https://host:9000, with region=NAME and ca=/path where needed"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_UNTRUSTED = (
    "CERTIFICATE_VERIFY_FAILED",
    "WRONG_VERSION_NUMBER",
    "doesn't match",
)  # TLS that does not pass by itself
_REFUSALS = {  # S3's code, and the hint
    "AccessDenied": "allow this key s3:GetObject and s3:PutObject under the prefix, and s3:ListBucket",
    "AllAccessDisabled": "allow this key s3:GetObject and s3:PutObject under the prefix, and s3:ListBucket",
    "InvalidAccessKeyId": "set AWS_ACCESS_KEY_ID, or name where it is in stack.store_access_key",
    "SignatureDoesNotMatch": "set AWS_SECRET_ACCESS_KEY, or name where it is in stack.store_secret_key",
    "ExpiredToken": "renew AWS_SESSION_TOKEN",
    "InvalidToken": "renew AWS_SESSION_TOKEN, or unset it",
    "NoSuchBucket": "create the bucket, or correct store_url",
    "InvalidBucketName": HOW_TO_WRITE,
    "AuthorizationHeaderMalformed": "give the bucket's region: ?region=NAME",
    "PermanentRedirect": "give the bucket's region: ?region=NAME",
    "RequestTimeTooSkewed": "set this machine's clock",
}


@dataclass(frozen=True)
class Patience:
    """How long a server may take before it counts as unreachable."""

    connect_s: float = 15.0  # and to send one part (5 MiB at most)
    read_s: float = 30.0  # between two pieces of an answer
    least_bytes_s: int = 50_000  # an answer slower than this is given up
    tries: int = 4  # of one request that failed on its way, or met a 5xx

    def whole_s(self, size_bytes: int) -> float:
        return self.read_s + size_bytes / self.least_bytes_s


PATIENCE = Patience()


class Names(Protocol):
    """Where the store keeps its names: the first binding of a name stays."""

    def bind(self, kind: str, key: str, digest: str) -> str: ...

    def lookup(self, kind: str, key: str) -> str | None: ...


@dataclass(frozen=True)
class Place:
    """A store_url, read."""

    bucket: str
    prefix: str  # empty, or ends with a slash
    endpoint: str  # scheme, host and port
    region: str | None
    ca: str


@dataclass(frozen=True)
class Keys:
    access: str
    secret: str
    session: str = ""

    def __repr__(self) -> str:
        return "Keys(...)"  # so that no traceback shows them


def read_url(url: str) -> Place:
    """Raises SettingsError with the form of such a URL."""
    split = urlsplit(url)
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    endpoint = options.pop("endpoint", AWS).rstrip("/")
    region = options.pop("region", None if endpoint == AWS else "us-east-1")
    ca = options.pop("ca", "")
    at = urlsplit(endpoint)
    try:
        sound = at.scheme in ("http", "https") and at.hostname and not at.path and (at.port or True)
    except ValueError:  # a port that is no number
        sound = False
    if split.scheme != "s3" or not _BUCKET.fullmatch(split.netloc) or options or not sound:
        raise SettingsError(f"not the URL of a store: {url}", HOW_TO_WRITE)
    prefix = split.path.strip("/")
    return Place(split.netloc, f"{prefix}/" if prefix else "", endpoint, region, ca)


class S3Objects:
    """The objects alone. Made after a fork: the client has a pool of connections."""

    def __init__(self, place: Place, keys: Keys, patience: Patience = PATIENCE) -> None:
        if not keys.access or not keys.secret:
            raise SettingsError(
                "no keys for the store on S3", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        self.place = place
        self.patience = patience
        at = urlsplit(place.endpoint)
        self._client = Minio(
            at.netloc,
            access_key=keys.access,
            secret_key=keys.secret,
            session_token=keys.session or None,
            secure=at.scheme == "https",
            region=place.region,
            http_client=_pool(place.ca, patience),
        )

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        with self._errors():
            self._client.put_object(self.place.bucket, self._key(digest), io.BytesIO(data), len(data))
        return digest

    def get(self, digest: str) -> bytes:
        for _ in range(2):  # once more: bytes may be damaged on their way, and not in the store
            data = b"".join(self._pieces(digest))
            if hashlib.sha256(data).hexdigest() == digest:
                return data
        raise ArtifactError(f"object {digest[:12]} is damaged: its bytes do not fit its name")

    def has(self, digest: str) -> bool:
        return self._size_bytes(digest) is not None

    def put_file(self, path: Path, shared: bool = False) -> str:
        digest = file_digest(path)
        if self._size_bytes(digest) != path.stat().st_size:  # bytes that flip are the server's to find
            with self._errors():
                self._client.fput_object(self.place.bucket, self._key(digest), str(path))
        return digest

    def get_file(self, digest: str, path: Path) -> None:
        for _ in range(2):  # as in get
            found = hashlib.sha256()
            with path.open("wb") as file:
                for piece in self._pieces(digest):
                    found.update(piece)
                    file.write(piece)
            if found.hexdigest() == digest:
                return
        path.unlink()
        raise ArtifactError(f"object {digest[:12]} is damaged: its bytes do not fit its name")

    def _size_bytes(self, digest: str) -> int | None:
        """None: it is not there."""
        try:
            with self._errors():
                found = self._client.stat_object(self.place.bucket, self._key(digest))
        except ArtifactError:
            return None
        return int(found.size or 0)

    def check(self) -> None:
        """Checks that this key may write and read here. Raises StoreRefusedError (a wrong setting) or
        StoreUnavailableError."""
        self.get(self.put(PROBE))

    def _key(self, digest: str) -> str:
        return f"{self.place.prefix}objects/{digest[:2]}/{digest}"

    def _pieces(self, digest: str) -> Iterator[bytes]:
        began_s = time.monotonic()
        with self._errors(digest):
            response = self._client.get_object(self.place.bucket, self._key(digest))
            try:
                size_bytes = 0
                for piece in response.stream(PIECE_BYTES):
                    yield piece
                    size_bytes += len(piece)
                    if time.monotonic() - began_s > self.patience.whole_s(size_bytes):
                        raise StoreUnavailableError(
                            f"the store at {self.place.endpoint} is too slow: {size_bytes} bytes of object "
                            f"{digest[:12]} in {time.monotonic() - began_s:.0f} s",
                            "this is tried again",
                        )
            finally:
                response.close()
                response.release_conn()

    @contextmanager
    def _errors(self, digest: str = "") -> Iterator[None]:
        where = f"the store s3://{self.place.bucket} at {self.place.endpoint}"
        try:
            yield
        except (S3Error, InvalidResponseError) as error:
            code, message = _error_text(error)
            if code == "NoSuchKey":
                raise ArtifactError(f"object {digest[:12]} is not in {where}") from None
            raise _refusal(where, code, message) from None
        except urllib3.exceptions.MaxRetryError as error:
            raise _unreachable(where, error.reason or error) from None
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(where, error) from None


class S3Store(S3Objects):
    """The whole Store; `names` keeps the bindings."""

    def __init__(self, place: Place, keys: Keys, names: Names, patience: Patience = PATIENCE) -> None:
        super().__init__(place, keys, patience)
        self._names = names

    def bind(self, kind: str, key: str, digest: str) -> str:
        return self._names.bind(kind, key, digest)

    def lookup(self, kind: str, key: str) -> str | None:
        return self._names.lookup(kind, key)


def _pool(ca: str, patience: Patience) -> urllib3.PoolManager:
    again = urllib3.Retry(
        total=patience.tries,
        connect=1,
        read=2,
        other=0,
        backoff_factor=0.2,
        status_forcelist=[500, 502, 503, 504],
    )
    if ca and not Path(ca).is_file():
        raise SettingsError(f"no certificates in {ca}", HOW_TO_WRITE)
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=patience.connect_s, read=patience.read_s),
        retries=again,
        maxsize=10,
        cert_reqs="CERT_REQUIRED",
        ca_certs=ca or certifi.where(),
    )


def _refusal(where: str, code: str, message: str) -> StoreUnavailableError:
    hint = _REFUSALS.get(code)
    text = f"{where} refuses: {code}: {message}".rstrip(": ")
    return StoreRefusedError(text, hint) if hint else StoreUnavailableError(text, "this is tried again")


def _error_text(error: S3Error | InvalidResponseError) -> tuple[str, str]:
    """S3's code and message. The client knows XML by one content type only, and servers write several."""
    if isinstance(error, S3Error):
        return error.code or "", error.message or ""
    status, _, body = error.__reduce__()[1]
    found = [re.search(f"<{tag}>(.*?)</{tag}>", body or "", re.DOTALL) for tag in ("Code", "Message")]
    code, message = (match.group(1) if match else "" for match in found)
    return code or {401: "AccessDenied", 403: "AccessDenied"}.get(status, f"HTTP {status}"), message


def _unreachable(where: str, error: Exception) -> StoreUnavailableError:
    if any(sign in str(error) for sign in _UNTRUSTED):
        hint = "name the server's own authority: ?ca=/path, or use the scheme that it speaks"
        return StoreRefusedError(f"{where} can't be trusted: {error}", hint)
    return StoreUnavailableError(f"{where} can't be reached: {error}", "is it up? this is tried again")
