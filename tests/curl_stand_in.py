"""What stands in for curl where there is none: the options that the documents use, read as curl reads them.

python curl_stand_in.py -s -X POST -H 'name: value' -d '{}' URL
"""

from __future__ import annotations

import argparse
import ssl
import sys

import httpx

FAILED = 22  # an answer of 400 or more, with --fail
NOT_CONNECTED = 7
BROKEN = 56  # the connection broke before an answer was whole


def main() -> int:
    """One request; its exit code."""
    parser = argparse.ArgumentParser()
    for flag in ("-s", "-i", "--fail", "--silent", "--show-error"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-X")
    parser.add_argument("-d")
    parser.add_argument("-o")
    parser.add_argument("--cacert")
    parser.add_argument("-w", default="")
    parser.add_argument("url")
    options = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in options.H)
    method = options.X or ("POST" if options.d is not None else "GET")
    trust = ssl.create_default_context(cafile=options.cacert)
    try:
        answer = httpx.request(method, options.url, headers=headers, content=options.d, timeout=30, trust_env=False, verify=trust)
    except httpx.ConnectError:
        return NOT_CONNECTED
    except httpx.HTTPError:
        return BROKEN
    if options.fail and answer.is_error:
        return FAILED
    if options.i:
        print(f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}")
        print("".join(f"{name}: {value}\n" for name, value in answer.headers.items()))
    if options.o is None:
        sys.stdout.write(answer.text)
    sys.stdout.write(options.w.replace("\\n", "\n").replace("%{http_code}", str(answer.status_code)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
