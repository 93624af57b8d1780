"""Configures Debian's nginx as the upstream of Light; it is faster than any server under test."""

import shutil
from pathlib import Path

from benchmarks import accounts

ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")

_BODY = (
    '{"bankAccountId":"$remote","currency":"EUR","bankBalance":${lead}$digits,'
    '"ledgerBalance":4$digits,"asOf":"$arg_asOf"}'
)
_CONFIGURATION = """\
@MODULES@
daemon off;
worker_processes 1;
pid @DIRECTORY@/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path @DIRECTORY@/body;
  proxy_temp_path @DIRECTORY@/proxy;
  fastcgi_temp_path @DIRECTORY@/fastcgi;
  uwsgi_temp_path @DIRECTORY@/uwsgi;
  scgi_temp_path @DIRECTORY@/scgi;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  default_type application/json;
  map $arg_asOf $lead { default 5; "@BEFORE_ALL@" 7; }
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location = /_count { stub_status; }
    location ~ "^/v1/bank-accounts/(?<remote>[0-9a-f-]+(?<digits>[0-9]{4}))/balance$" {
      @RESPONSE@
    }
  }
}
"""


def is_available(delay_ms: float) -> bool:
    """Whether nginx is installed, with the module that a delay needs."""
    return shutil.which("nginx") is not None and (not delay_ms or ECHO_MODULE.exists())


def build_command(directory: Path, port: int, delay_ms: float) -> list[str]:
    """Write the configuration and return the command that serves it."""
    if delay_ms:
        modules = f"load_module {ECHO_MODULE};"
        response = f"echo_sleep {delay_ms / 1000}; echo -n '{_BODY}';"
    else:
        modules, response = "", f"return 200 '{_BODY}';"
    text = (
        _CONFIGURATION.replace("@MODULES@", modules)
        .replace("@DIRECTORY@", str(directory))
        .replace("@PORT@", str(port))
        .replace("@BEFORE_ALL@", accounts.BEFORE_ALL)
        .replace("@RESPONSE@", response)
    )
    path = directory / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    return ["nginx", "-p", str(directory), "-c", str(path)]
