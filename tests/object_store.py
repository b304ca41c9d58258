"""An object store for tests: moto's S3 server in a process of its own, on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest


@contextmanager
def server(timeout: float = 60) -> Iterator[dict[str, str]]:
    """Start an empty store; yields the environment variables that clients need."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, port, time.monotonic() + timeout)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "not-to-be-told",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, deadline: float) -> None:
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the object store did not start in time (exit code {process.poll()})")


@pytest.fixture(scope="module")
def store():
    """The s3fs file system of an empty store of this test module."""
    import s3fs

    with pytest.MonkeyPatch.context() as patch, server() as settings:
        for name, value in settings.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield s3fs.S3FileSystem(use_listings_cache=False)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(store):
    """The URL of a new bucket."""
    name = f"bucket-{uuid4().hex[:12]}"
    store.mkdir(name)
    return f"s3://{name}"
