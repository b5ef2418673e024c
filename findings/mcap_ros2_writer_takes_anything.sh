#!/usr/bin/env bash
# Package:  mcap-ros2-support 0.6.0 (with mcap 1.6.0)
# Expected: the writer refuses a message that does not fit its definition.
# Observed: it records something else and says nothing. A field name that the definition does not have is
#           dropped, so a misspelt one is recorded as zero; a fixed array that is too long is cut, one that is
#           too short is filled, and for that the list of the caller itself is made longer, with None. Any
#           text in a bool field is true, "false" too. Only numbers out of range are refused.
# Output:   {'size_X': 48.0}          recorded as size_x 0.0
#           {'size_x': '48'}          recorded as size_x 48.0
#           {'box': [1, 2]}           recorded as box [1.0, 2.0, 0.0, 0.0]
#           {'box': [1, 2, 3, 4, 5]}  recorded as box [1.0, 2.0, 3.0, 4.0]
#           {'lost': 'false'}         recorded as lost True
#           the caller's own [1, 2] is now [1, 2, None, None]
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'mcap-ros2-support==0.6.0' 'mcap==1.6.0'
"$tmp/venv/bin/python" - <<'PY'
import io
import sys
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from mcap_ros2.writer import Writer


def recorded(message, field):
    file = io.BytesIO()
    writer = Writer(file)
    schema = writer.register_msgdef("my_msgs/msg/Box", "float64 size_x\nfloat64[4] box\nbool lost")
    given = str(message)
    writer.write_message("/box", schema, message, log_time=1, publish_time=1, sequence=0)
    writer.finish()
    file.seek(0)
    reader = make_reader(file, decoder_factories=[DecoderFactory()])
    value = getattr(next(iter(reader.iter_decoded_messages())).decoded_message, field)
    print(f"{given:25} recorded as {field} {value}")
    return value


short = [1, 2]
seen = [
    recorded({"size_X": 48.0}, "size_x"),
    recorded({"size_x": "48"}, "size_x"),
    list(recorded({"box": short}, "box")),
    list(recorded({"box": [1, 2, 3, 4, 5]}, "box")),
    recorded({"lost": "false"}, "lost"),
]
print("the caller's own [1, 2] is now", short)
surprise = seen == [0.0, 48.0, [1, 2, 0, 0], [1, 2, 3, 4], True] and short == [1, 2, None, None]
sys.exit(0 if surprise else 1)
PY
