"""Leads a job through its life with Google's Python client.

python life.py URL DISCOVERY_DOCUMENT…
"""

import json
import sys

import httplib2
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError

POSTING = {
    "requisitionId": "R1",
    "title": "Plumber",
    "description": "Repairs pipes",
    "applicationInfo": {"uris": ["https://example.com/apply"]},
}
METADATA = {"domain": "example.com", "userId": "u", "sessionId": "s"}


def wrapped(version, field, value, mask=None):
    """Bodies have a wrapper in v3; in v4 the mask is in the query."""
    if version == "v4":
        return {"body": value} | ({"updateMask": mask} if mask else {})
    return {"body": {field: value} | ({"updateMask": mask} if mask else {})}


def is_gone(call):
    try:
        call.execute()
    except HttpError as e:
        return e.resp.status == 404
    return False


def live(service, version):
    collection, parent = service.projects(), "projects/p"
    if version == "v4":
        tenant = collection.tenants().create(parent=parent, body={"externalId": "python"}).execute()
        collection, parent = collection.tenants(), tenant["name"]
    companies, jobs = collection.companies(), collection.jobs()

    company = companies.create(
        parent=parent, **wrapped(version, "company", {"externalId": "acme", "displayName": "Acme"})
    ).execute()
    owner = {"company" if version == "v4" else "companyName": company["name"]}
    job = jobs.create(parent=parent, **wrapped(version, "job", POSTING | owner)).execute()
    name = job["name"]
    assert jobs.get(name=name).execute()["title"] == "Plumber"
    masked = jobs.patch(name=name, **wrapped(version, "job", {"name": name, "title": "Master"}, "title")).execute()
    assert (masked["title"], masked["description"]) == ("Master", "Repairs pipes"), masked
    whole = jobs.patch(name=name, **wrapped(version, "job", POSTING | owner | {"name": name, "title": "Chief"})).execute()
    assert whole["title"] == "Chief", whole
    listed = jobs.list(parent=parent, filter=f'companyName = "{company["name"]}"').execute()
    assert [j["name"] for j in listed["jobs"]] == [name], listed
    found = jobs.search(parent=parent, body={"requestMetadata": METADATA, "jobQuery": {"query": "chief"}}).execute()
    assert [m["job"]["name"] for m in found["matchingJobs"]] == [name], found
    event = {
        "eventId": "python " + version,
        "requestId": found["metadata"]["requestId"],
        "createTime": "2026-01-02T03:04:05Z",
        "jobEvent": {"type": "IMPRESSION", "jobs": [name]},
    }
    collection.clientEvents().create(
        parent=parent, body=event if version == "v4" else {"clientEvent": event}
    ).execute()
    jobs.delete(name=name).execute()
    assert is_gone(jobs.get(name=name)), "a deleted job"
    companies.delete(name=company["name"]).execute()
    print(f"google-api-python-client, {version}: created, got, patched, listed, searched, deleted")


def main():
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as f:
            document = json.load(f)
        document["rootUrl"] = sys.argv[1] + "/"
        document.pop("mtlsRootUrl", None)
        live(build_from_document(document, http=httplib2.Http()), document["version"])


if __name__ == "__main__":
    main()
