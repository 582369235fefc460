// Creates an event of every type with each of Google's Node clients:
// node events.mjs http://127.0.0.1:8080
// The test that runs it looks at what arrived.
import assert from 'node:assert/strict';
import talent from '@google-cloud/talent';
import { discovery, gapic } from './clients.mjs';

const url = process.argv[2];
const project = 'projects/p';
const tenant = 'projects/p/tenants/t';
const createTime = '2026-01-02T03:04:05.678Z';
const { JobEventType } = talent.protos.google.cloud.talent.v4.JobEvent;
const types = Object.entries(JobEventType).filter(([, number]) => number !== 0);

// Each creates one event, and returns the id that came back.
const creators = {
  'googleapis v3': async (id, type) => {
    const clientEvent = {
      requestId: 'r', eventId: id, parentEventId: 'p', createTime, extraInfo: { k: 'v<&>' },
      jobEvent: { type, jobs: [`${project}/jobs/1`] },
    };
    const created = await discovery(url, 'v3').projects.clientEvents.create({ parent: project, requestBody: { clientEvent } });
    assert.equal(Date.parse(created.data.createTime), Date.parse(createTime));
    return created.data.eventId;
  },
  'googleapis v4': async (id, type) => {
    const requestBody = { requestId: 'r', eventId: id, createTime, eventNotes: 'n', jobEvent: { type, jobs: [`${tenant}/jobs/1`] } };
    const created = await discovery(url, 'v4').projects.tenants.clientEvents.create({ parent: tenant, requestBody });
    assert.equal(Date.parse(created.data.createTime), Date.parse(createTime));
    return created.data.eventId;
  },
  '@google-cloud/talent v4': (id, type) => createWithGapic('v4', tenant, id, type),
  '@google-cloud/talent v4beta1': (id, type) => createWithGapic('v4beta1', tenant, id, type),
  '@google-cloud/talent v4beta1 without a tenant': (id, type) => createWithGapic('v4beta1', project, id, type),
};

async function createWithGapic(version, parent, id, type) {
  const client = gapic(url, version, 'EventService');
  try {
    const [created] = await client.createClientEvent({
      parent,
      clientEvent: {
        requestId: 'r', eventId: id, eventNotes: 'n',
        createTime: { seconds: Date.parse(createTime) / 1000 | 0, nanos: 678_000_000 },
        jobEvent: { type: JobEventType[type], jobs: [`${parent}/jobs/1`] },
      },
    });
    assert.equal(created.createTime.nanos, 678_000_000);
    return created.eventId;
  } finally {
    await client.close();
  }
}

for (const [name, create] of Object.entries(creators)) {
  for (const [type] of types) {
    const id = `${name} ${type}`;
    assert.equal(await create(id, type), id);
  }
  // An event without an id is refused, and the client says why.
  await assert.rejects(create('', 'VIEW'), (err) => {
    assert.match(err.message, /event/i);
    return true;
  });
  console.log(`${name}: ${types.length} types`);
}
