"""What the document says in words only: formats of its own, and how two values go together."""

import itertools
import json
import os
from datetime import datetime, timedelta, timezone

import schemathesis
from hypothesis import strategies as st

# Each call comes from an address of its own: failed sign-ins are limited by address, and many are made here on purpose.
# A counter that threads may share, should there be several.
CALLS = itertools.count(1)
# A span that the finest step can show, whenever this runs.
NOW = datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
SPAN = {"from": f"{(NOW - timedelta(days=1)).isoformat()}Z", "to": f"{NOW.isoformat()}Z"}
LOGIN = json.dumps({"access_token": "ya29.example", "refresh_token": "1//example"})

ahead = st.datetimes(min_value=datetime(2030, 1, 1), max_value=datetime(2099, 1, 1))
schemathesis.openapi.format("date-time", ahead.map(lambda time: time.isoformat() + "Z"))
schemathesis.openapi.format("upstream-url", st.just(os.environ["UPSTREAM"]))
schemathesis.openapi.format("login-file", st.just(LOGIN))
schemathesis.openapi.format("cidr", st.sampled_from(["10.0.0.0/8", "127.0.0.1", "fd00::/8", "192.0.2.0/24", "::1"]))
schemathesis.openapi.format("time-zone", st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]))


@schemathesis.hook
def before_call(context, case, kwargs):
    call = next(CALLS)
    case.headers["x-forwarded-for"] = f"10.{call >> 16 & 255}.{call >> 8 & 255}.{call & 255}"
    query = case.query or {}
    # Any two times that are times are a span; any cursor that is a text is the first page's.
    for name, time in SPAN.items():
        if is_time(query.get(name)):
            query[name] = time
    if isinstance(query.get("cursor"), str) and query["cursor"].strip("\0"):
        del query["cursor"]


def is_time(value):
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None
    except (AttributeError, ValueError):
        return False
