"""A full backup over DCE/RPC, on Impacket alone, as eseback.idl says: `... TASK.json`."""

import json
import os
import sys
from pathlib import Path
from struct import pack, unpack_from

from impacket.dcerpc.v5 import ndr, transport
from impacket.dcerpc.v5.dtypes import GUID, LPWSTR, ULONG
from impacket.uuid import uuidtup_to_bin

PREPARE, SETUP, OPEN, READ, CLOSE, LOGS, OLD_LOGS, TRUNCATE, INSTANCE_END, END = 2, *range(4, 13)
# fmt: off
FULL, FAILED, DONE, MOUNTED, CHUNK = 1, 0, 1, 0x10, 0x10000

def array(item=None, **fields):  # [size_is(n), unique] item *; with fields: of structures
    item = item or type("Item", (ndr.NDRSTRUCT,), {"structure": tuple(fields.items())})
    items = type("Items", (ndr.NDRUniConformantArray,), {"item": item})
    return type("Pointer", (ndr.NDRPOINTER,), {"referent": (("Data", items),)})

DATABASES = array(name=LPWSTR, n=ULONG, files=array("2s"), guid=GUID, icon=ULONG, flags=ULONG)
INSTANCES = array(id=ndr.NDRHYPER, name=LPWSTR, icon=ULONG, n=ULONG, databases=DATABASES,
                  icons=ULONG, images=array(size=ULONG, image=array("c")))
class Prepared(ndr.NDRCALL):
    structure = ("context", "20s"), ("n", ULONG), ("instances", INSTANCES)

def text(string):  # [string] wchar_t *
    data = (string + "\0").encode("utf-16-le")
    return pack("<III", len(data) // 2, 0, len(data) // 2) + data + bytes(-len(data) % 4)

def names(data):  # each is ended by a NUL, the list by one more
    return [n for n in data.decode("utf-16-le", "replace").split("\0\0")[0].split("\0") if n]

def call(operation, stub):  # gives the answer, which ends with an HRESULT
    dce.call(operation, stub)
    if any((answer := dce.recv())[-4:]):
        raise OSError(f"operation {operation} gave {answer[:-5:-1].hex()}")
    return answer

def save(name):
    handle, size = unpack_from("<qq", call(OPEN, context + text(name) + pack("<II", CHUNK, 1)), 16)
    path = Path(task["set_folder"], f"{len(saved):04}")  # a name from a server is no safe path
    with path.open("wb", buffering=0) as file:
        read = pack("<20s4xqI", context, handle, CHUNK)
        while got := unpack_from("<I", answer := call(READ, read))[0]:
            file.write(answer[16 : 16 + got])
        os.fsync(file)
    call(CLOSE, pack("<20s4xq", context, handle))
    if path.stat().st_size < size:
        raise OSError(f"{name} ended before its {size} bytes had come")
    saved.append({"name": name, "size": path.stat().st_size, "path": str(path)})
    Path(task["result"]).write_text(json.dumps({"outcome": "failure", "files": saved}))  # so far

task, saved = json.loads(Path(sys.argv[1]).read_text("utf-8")), []
if task["kind"] != "full":
    sys.exit(f"only full backups are made here, not {task['kind']}")
dce = transport.DCERPCTransportFactory("ncacn_ip_tcp:{host}[{port}]".format(**task)).get_dce_rpc()
dce.connect()
dce.bind(uuidtup_to_bin(("d1c3f0a6-52c7-4e0f-9b6e-0e5eb4c0a7e1", "1.0")))
context = (prepared := call(PREPARE, text(task["server"]) + text(task["annotation"])))[:20]
try:
    running = {i["name"].rstrip("\0"): i for i in Prepared(prepared)["instances"]}
    for group in task["groups"]:
        call(SETUP, pack("<20s4xqI", context, running[group]["id"], FULL))
        how = FAILED
        try:
            for base in running[group]["databases"]:
                for name in names(b"".join(base["files"] if base["flags"] & MOUNTED else ())):
                    save(name)
            for name in names(call(LOGS, context)[12:]):
                save(name)
            call(OLD_LOGS, context)  # which those are that the next call deletes
            call(TRUNCATE, context)
            how = DONE
        finally:  # after an error, too, or the server holds on to the group
            call(INSTANCE_END, context + pack("<I", how))
finally:
    call(END, context)
Path(task["result"]).write_text(json.dumps({"outcome": "success", "files": saved}))
