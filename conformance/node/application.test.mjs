// An application's tests, with both transports of @google-cloud/talent. The default is
// gRPC: node --test application.test.mjs
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import talent from '@google-cloud/talent';
import { PassThroughClient } from 'google-auth-library';
import { grpc } from 'google-gax';

const EMULATOR = process.env.EMULATOR || '127.0.0.1:8080';
const [host, port] = EMULATOR.split(':');
const parent = 'projects/demo/tenants/default';
const company = `${parent}/companies/acme`;
const { JobEventType } = talent.protos.google.cloud.talent.v4.JobEvent;

const overGRPC = { apiEndpoint: host, port: Number(port), sslCreds: grpc.credentials.createInsecure() };
const overREST = {
  apiEndpoint: host, port: Number(port), protocol: 'http', fallback: true, authClient: new PassThroughClient(),
};
const newEvents = (transport) => new talent.v4.EventServiceClient(transport);
const newJobs = (transport) => new talent.v4.JobServiceClient(transport);

const posting = (requisitionId) => ({ company, requisitionId, title: 'Smith', description: 'Anvils' });
const codeIs = (code, status) => (err) => {
  assert.ok(err.code === code || Number(err.code) === status, err);
  return true;
};

async function search(jobs, query) {
  const [found] = await jobs.searchJobs(
    { parent, requestMetadata: { allowMissingIds: true }, jobQuery: { query } }, { autoPaginate: false });
  return { requestId: found.metadata.requestId, job: found.matchingJobs[0].job.name };
}

const event = (eventId, type, { requestId, job }) => ({
  requestId, eventId, createTime: { seconds: Math.floor(Date.now() / 1000) }, jobEvent: { type, jobs: [job] },
});

// using closes the clients after the test, so that the program can end.
async function using(clients, test) {
  try {
    await test(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

for (const [name, transport] of Object.entries({ gRPC: overGRPC, REST: overREST })) {
  describe(name, () => {
    beforeEach(() => fetch(`http://${EMULATOR}/emulator/reset`, { method: 'POST' }));

    it('reports a view', () => using([newJobs(transport), newEvents(transport)], async (jobs, events) => {
      const found = await search(jobs, 'baker');
      await events.createClientEvent({ parent, clientEvent: event('view-1', 'VIEW', found) });
      const query = new URLSearchParams({ request_id: found.requestId, wait: '5s', count: '1' });
      const sent = await (await fetch(`http://${EMULATOR}/emulator/events?${query}`)).json();
      assert.deepEqual(sent.events.map((e) => [e.event.eventId, e.warnings]), [['view-1', undefined]]);
    }));

    it('reports events of every type', () => using([newJobs(transport), newEvents(transport)], async (jobs, events) => {
      const found = await search(jobs, 'baker');
      for (const [type, number] of Object.entries(JobEventType)) {
        const created = events.createClientEvent({ parent, clientEvent: event(type, number, found) });
        if (number === 0) {
          await assert.rejects(created, codeIs(3, 400));
        } else {
          assert.equal((await created)[0].eventId, type);
        }
      }
    }));

    it('leads a job through its life', () => using([newJobs(transport)], async (jobs) => {
      const [created] = await jobs.createJob({ parent, job: posting('life') });
      const [read] = await jobs.getJob({ name: created.name });
      assert.deepEqual(read, created);
      const job = { name: created.name, title: 'Potter', description: 'not in the mask' };
      const [updated] = await jobs.updateJob({ job, updateMask: { paths: ['title'] } });
      assert.deepEqual([updated.title, updated.description], ['Potter', 'Anvils']);
      assert.equal((await search(jobs, 'potter')).job, created.name);
      await jobs.deleteJob({ name: created.name });
      await assert.rejects(jobs.getJob({ name: created.name }), codeIs(5, 404));
    }));

    it('has typed errors', () => using([newJobs(transport)], async (jobs) => {
      await assert.rejects(jobs.getJob({ name: `${parent}/jobs/2` }), codeIs(5, 404));
      await assert.rejects(jobs.createJob({ parent, job: { title: 'x' } }), (err) => {
        codeIs(3, 400)(err);
        const details = name === 'gRPC' ? err.statusDetails : JSON.parse(err.message).error.details;
        const [{ fieldViolations: [violation] }] = details;
        assert.equal(violation.field, 'job.company');
        return true;
      });
    }));

    it('waits for batches and reads pages', () => using([newJobs(transport)], async (jobs) => {
      const postings = Array.from({ length: 25 }, (_, i) => posting(`r${i}`));
      const [operation] = await jobs.batchCreateJobs({ parent, jobs: postings });
      const [{ jobResults }] = await operation.promise();
      assert.equal(jobResults.length, 25);
      const names = new Set();
      for await (const job of jobs.listJobsAsync({ parent, filter: `companyName = "${company}"`, pageSize: 10 })) {
        names.add(job.name);
      }
      assert.equal(names.size, 26);
    }));
  });
}

// Over REST this client neither repeats a call nor ends it.
describe('gRPC by its defaults', () => {
  // Each first read of jobs/1 gets 503, and the client repeats it.
  it('repeats reads', () => using([newJobs(overGRPC)], async (jobs) => {
    const [job] = await jobs.getJob({ name: `${parent}/jobs/1` });
    assert.equal(job.title, 'Baker');
  }));

  // A read of jobs/slow gets no answer.
  it('ends calls after a timeout', () => using([newJobs(overGRPC)], async (jobs) => {
    await assert.rejects(jobs.getJob({ name: `${parent}/jobs/slow` }, { timeout: 300, retry: null }), codeIs(4, 504));
  }));
});
