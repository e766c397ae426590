"""OpenStack Swift with its S3 middleware, on 127.0.0.1: real signatures, access rights, data in files. Four
servers, for the slow tests. The recipe is Swift's own "all in one", without memcached, replication or root.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

from shared.children import die_with_parent
from shared.store.s3 import Keys
from tests.servers.s3 import BUCKET, Server, free_port

OWNER = Keys("test:tester", "testing")
GUEST = Keys("test:guest", "looking")  # of the same account, without a right to anything
PARTS = ("object", "container", "account")
PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors cache bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
connect_timeout = 0.01
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = 1
s3_acl = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
user_test_guest = looking
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""
PART = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
COMMON = """\
[swift-hash]
swift_hash_path_prefix = tests
swift_hash_path_suffix = tests
[storage-policy:0]
name = default
default = yes
"""


class Swift(Server):
    keys = OWNER

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[subprocess.Popen[bytes]] = []
        self.ports = {name: free_port() for name in PARTS}
        self.environment["SWIFT_CONF_DIR"] = str(self.folder)
        (self.folder / "devices" / "d1").mkdir(parents=True)
        (self.folder / "swift.conf").write_text(COMMON)
        where = {"folder": self.folder, "user": pwd.getpwuid(os.getuid()).pw_name}
        (self.folder / "proxy.conf").write_text(PROXY.format(port=self.port, **where))
        for name, port in self.ports.items():
            (self.folder / f"{name}.conf").write_text(PART.format(port=port, name=name, **where))
            self._ring(name, port)

    def _ring(self, name: str, port: int) -> None:
        builder = [_program("swift-ring-builder"), f"{name}.builder"]
        for words in (["create", "8", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"], ["rebalance"]):
            done = subprocess.run([*builder, *words], cwd=self.folder, capture_output=True, timeout=60)
            assert done.returncode in (0, 1), done.stdout  # 1: a warning

    def command(self) -> list[str]:
        return [_program("swift-proxy-server"), str(self.folder / "proxy.conf")]

    def start(self) -> None:
        for name in PARTS:
            with (self.folder / "log").open("ab") as log:
                command = [_program(f"swift-{name}-server"), str(self.folder / f"{name}.conf")]
                process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env=self.environment,
                    preexec_fn=die_with_parent,
                )
            self.parts.append(process)
        super().start()
        self.make_bucket()

    def make_bucket(self) -> None:
        from minio import Minio

        client = Minio(f"127.0.0.1:{self.port}", OWNER.access, OWNER.secret, secure=False, region="us-east-1")
        if not client.bucket_exists(BUCKET):
            client.make_bucket(BUCKET)

    def stop(self) -> None:
        super().stop()
        for process in self.parts:
            process.kill()
            process.wait()
        self.parts = []


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
