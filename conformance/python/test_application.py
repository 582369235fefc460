"""An application's test: search, open the first job, and assert on the report."""
import datetime
import os

import grpc
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import talent_v4 as talent

EMULATOR = os.environ.get("EMULATOR", "127.0.0.1:8080")
PARENT = "projects/demo/tenants/default"
COMPANY = f"{PARENT}/companies/acme"


def over_grpc(client):
    """A client, such as talent.EventServiceClient, with its default transport."""
    transport = client.get_transport_class("grpc")
    return client(transport=transport(channel=grpc.insecure_channel(EMULATOR)))


def over_rest(client):
    transport = client.get_transport_class("rest")
    return client(transport=transport(host=EMULATOR, url_scheme="http", credentials=AnonymousCredentials()))


both = pytest.mark.parametrize("connect", [over_grpc, over_rest])


@pytest.fixture(autouse=True)
def reset():
    requests.post(f"http://{EMULATOR}/emulator/reset").raise_for_status()


def search(jobs, query):
    return jobs.search_jobs(
        {"parent": PARENT, "request_metadata": {"allow_missing_ids": True}, "job_query": {"query": query}})


def event(found, event_id, kind):
    return {
        "request_id": found.metadata.request_id,
        "event_id": event_id,
        "create_time": datetime.datetime.now(datetime.timezone.utc),
        "job_event": {"type_": kind, "jobs": [found.matching_jobs[0].job.name]},
    }


def posting(requisition_id):
    return {"company": COMPANY, "requisition_id": requisition_id, "title": "Smith", "description": "Anvils"}


@both
def test_a_view_is_reported(connect):
    found = search(connect(talent.JobServiceClient), "baker")
    connect(talent.EventServiceClient).create_client_event(parent=PARENT, client_event=event(found, "view-1", "VIEW"))

    answer = requests.get(f"http://{EMULATOR}/emulator/events", params={"request_id": found.metadata.request_id, "wait": "5s", "count": 1}).json()
    (sent,) = answer["events"]
    assert sent["event"]["jobEvent"] == {"type": "VIEW", "jobs": [f"{PARENT}/jobs/1"]}
    assert "warnings" not in sent


@both
def test_events_of_every_type(connect):
    found = search(connect(talent.JobServiceClient), "baker")
    events = connect(talent.EventServiceClient)
    for kind in talent.JobEvent.JobEventType:
        sent = event(found, kind.name, kind)
        if kind:
            assert events.create_client_event(parent=PARENT, client_event=sent).job_event.type_ == kind
        else:
            with pytest.raises(exceptions.BadRequest):
                events.create_client_event(parent=PARENT, client_event=sent)


@both
def test_the_life_of_a_job(connect):
    jobs = connect(talent.JobServiceClient)
    created = jobs.create_job(parent=PARENT, job=posting("life"))
    assert jobs.get_job(name=created.name) == created
    job = talent.Job(name=created.name, title="Potter", description="not in the mask")
    updated = jobs.update_job({"job": job, "update_mask": {"paths": ["title"]}})
    assert (updated.title, updated.description) == ("Potter", "Anvils")
    assert search(jobs, "potter").matching_jobs[0].job.name == created.name
    jobs.delete_job(name=created.name)
    with pytest.raises(exceptions.NotFound):
        jobs.get_job(name=created.name)


@both
def test_errors_are_typed(connect):
    jobs = connect(talent.JobServiceClient)
    with pytest.raises(exceptions.NotFound):
        jobs.get_job(name=f"{PARENT}/jobs/2")
    with pytest.raises(exceptions.BadRequest) as error:
        jobs.create_job(parent=PARENT, job={"title": "x"})
    assert "job.company" in str(error.value.details)


@both
def test_batches_and_pages(connect):
    jobs = connect(talent.JobServiceClient)
    created = jobs.batch_create_jobs(parent=PARENT, jobs=[posting(f"r{i}") for i in range(25)]).result(timeout=60)
    assert len(created.job_results) == 25
    listed = jobs.list_jobs(request={"parent": PARENT, "filter": f'companyName = "{COMPANY}"', "page_size": 10})
    assert len(list(listed)) == 26


@both
def test_reads_are_retried(connect):
    """Each first read of jobs/1 gets 503, and the client repeats it by its defaults."""
    assert connect(talent.JobServiceClient).get_job(name=f"{PARENT}/jobs/1").title == "Baker"


@both
def test_calls_time_out(connect):
    """A read of jobs/slow gets no answer."""
    with pytest.raises((exceptions.DeadlineExceeded, requests.exceptions.Timeout)):
        connect(talent.JobServiceClient).get_job(name=f"{PARENT}/jobs/slow", timeout=0.3, retry=None)
