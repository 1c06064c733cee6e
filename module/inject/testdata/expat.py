"""Reads documents from the standard input, one in base64 on each line, and writes what expat reads in each: a tree in JSON on a line, or null."""
import base64
import json
import sys
from xml.parsers import expat


# Stands between the namespace and the name, and in no document.
SEPARATOR = "\x01"


def read(body):
    root = []
    open_ = []

    def start(name, attributes):
        pairs = list(zip(attributes[::2], attributes[1::2]))
        e = {"Name": name.split(SEPARATOR)[-1], "Attributes": [[n.split(SEPARATOR)[-1], v] for n, v in pairs], "Text": "", "Children": []}
        (open_[-1]["Children"] if open_ else root).append(e)
        open_.append(e)

    def text(data):
        open_[-1]["Text"] += data

    def doctype(*_):
        raise ValueError("a DTD")

    p = expat.ParserCreate(None, SEPARATOR)
    p.ordered_attributes = True
    p.StartElementHandler, p.EndElementHandler, p.CharacterDataHandler = start, lambda _: open_.pop(), text
    p.StartDoctypeDeclHandler = doctype
    try:
        p.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        return None
    return root[0]


for line in sys.stdin:
    json.dump(read(base64.b64decode(line)), sys.stdout)
    print()
