"""Creates events with Google's Python client, one by one and in HTTP batches.

python events.py URL DISCOVERY_DOCUMENT…; the test that runs it looks at what
arrived.
"""

import json
import sys

import httplib2
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError

CREATE_TIME = "2026-01-02T03:04:05.678Z"


def event(version, parent, event_id, kind="VIEW"):
    """The body of clientEvents.create."""
    body = {
        "requestId": "r",
        "eventId": event_id,
        "createTime": CREATE_TIME,
        "jobEvent": {"type": kind, "jobs": [parent + "/jobs/1"]},
    }
    return {"clientEvent": body} if version == "v3" else body


def check_single(create, version, parent):
    event_id = version + " single"
    created = create(parent=parent, body=event(version, parent, event_id)).execute()
    assert created["eventId"] == event_id, created
    try:
        create(parent=parent, body=event(version, parent, "")).execute()
    except HttpError as e:
        assert e.resp.status == 400 and "event" in e.reason.lower(), e
    else:
        raise AssertionError("an event without an id was not refused")


def check_batch(service, create, version, parent):
    """Each of 100 events has its own outcome; one in ten is at fault."""
    outcomes = {}

    def told(key, answer, error):
        assert key not in outcomes, key
        outcomes[key] = error or answer

    batch = service.new_batch_http_request(callback=told)
    for i in range(100):
        kind = "NO_SUCH_TYPE" if i % 10 == 3 else "VIEW"
        batch.add(
            create(parent=parent, body=event(version, parent, f"{version} part {i}", kind)),
            request_id=f"key {i}",
        )
    batch.execute()
    assert len(outcomes) == 100, len(outcomes)
    for i in range(100):
        outcome = outcomes[f"key {i}"]
        if i % 10 == 3:
            assert isinstance(outcome, HttpError) and outcome.resp.status == 400, outcome
        else:
            assert outcome["eventId"] == f"{version} part {i}", outcome


def main():
    url = sys.argv[1]
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as f:
            document = json.load(f)
        document["rootUrl"] = url + "/"
        document.pop("mtlsRootUrl", None)
        service = build_from_document(document, http=httplib2.Http())
        version = document["version"]
        collection, parent = service.projects(), "projects/p"
        if version == "v4":
            collection, parent = collection.tenants(), "projects/p/tenants/t"
        events = collection.clientEvents
        check_single(events().create, version, parent)
        check_batch(service, events().create, version, parent)
        print(f"google-api-python-client, {version}: one event, and a batch of 100")


if __name__ == "__main__":
    main()
