"""Makes upload-reply jobs: Microsoft's class has none, ours has."""

from __future__ import annotations

from pathlib import Path

from harness.wsman import Client, method_input

BITSD_JOB = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/bitsd/BitsdJob"


def create_upload_reply(client: Client, name: str, url: str, local: Path, reply: Path) -> str:
    """An upload-reply, suspended; the key."""
    values = {"DisplayName": name, "RemoteUrl": url, "LocalFile": str(local), "Type": 2, "Suspend": True}
    body = method_input("CreateJob", {**values, "ReplyFileName": str(reply)}, BITSD_JOB)
    answer = client.call(f"{BITSD_JOB}/CreateJob", body, resource=BITSD_JOB)
    found = answer.find(f".//{{{BITSD_JOB}}}JobId")
    assert found is not None and found.text
    return found.text
