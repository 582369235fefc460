// Leads a job through its life with each of Google's Node clients:
// node life.mjs http://127.0.0.1:8080
import assert from 'node:assert/strict';
import talent from '@google-cloud/talent';
import { discovery, gapic } from './clients.mjs';

const url = process.argv[2];
const project = 'projects/p';
const now = () => new Date().toISOString();
const posting = (company, extra) => ({ requisitionId: 'R1', title: 'Plumber', description: 'Repairs pipes', applicationInfo: { uris: ['https://example.com/apply'] }, ...company, ...extra });
const metadata = { domain: 'example.com', userId: 'u', sessionId: 's' };
const gone = (status) => (err) => {
  assert.ok([err.code, err.status].map(Number).some((code) => code === status || code === 5), err);
  return true;
};

async function lifeInV3() {
  const { companies, jobs, clientEvents } = discovery(url, 'v3').projects;
  const { data: company } = await companies.create({ parent: project, requestBody: { company: { externalId: 'acme', displayName: 'Acme' } } });
  const { data: job } = await jobs.create({ parent: project, requestBody: { job: posting({ companyName: company.name }) } });
  assert.equal((await jobs.get({ name: job.name })).data.title, 'Plumber');
  const masked = await jobs.patch({ name: job.name, requestBody: { job: { name: job.name, title: 'Master' }, updateMask: 'title' } });
  assert.deepEqual([masked.data.title, masked.data.description], ['Master', 'Repairs pipes']);
  const whole = await jobs.patch({ name: job.name, requestBody: { job: posting({ companyName: company.name }, { name: job.name, title: 'Chief' }) } });
  assert.equal(whole.data.title, 'Chief');
  const listed = await jobs.list({ parent: project, filter: `companyName = "${company.name}"` });
  assert.deepEqual(listed.data.jobs.map((j) => j.name), [job.name]);
  const found = await jobs.search({ parent: project, requestBody: { requestMetadata: metadata, jobQuery: { query: 'chief' } } });
  assert.deepEqual(found.data.matchingJobs.map((m) => m.job.name), [job.name]);
  await clientEvents.create({
    parent: project,
    requestBody: { clientEvent: { eventId: 'v3', requestId: found.data.metadata.requestId, createTime: now(), jobEvent: { type: 'IMPRESSION', jobs: [job.name] } } },
  });
  await jobs.delete({ name: job.name });
  await assert.rejects(jobs.get({ name: job.name }), gone(404));
  await companies.delete({ name: company.name });
}

async function lifeInV4() {
  const { tenants } = discovery(url, 'v4').projects;
  const { data: tenant } = await tenants.create({ parent: project, requestBody: { externalId: 'node' } });
  const { companies, jobs, clientEvents } = tenants;
  const { data: company } = await companies.create({ parent: tenant.name, requestBody: { externalId: 'acme', displayName: 'Acme' } });
  const { data: job } = await jobs.create({ parent: tenant.name, requestBody: posting({ company: company.name }) });
  const masked = await jobs.patch({ name: job.name, updateMask: 'title', requestBody: { name: job.name, title: 'Master' } });
  assert.deepEqual([masked.data.title, masked.data.description], ['Master', 'Repairs pipes']);
  const whole = await jobs.patch({ name: job.name, requestBody: posting({ company: company.name }, { name: job.name, title: 'Chief' }) });
  assert.equal(whole.data.title, 'Chief');
  const listed = await jobs.list({ parent: tenant.name, filter: `companyName = "${company.name}"` });
  assert.deepEqual(listed.data.jobs.map((j) => j.name), [job.name]);
  const found = await jobs.search({ parent: tenant.name, requestBody: { requestMetadata: metadata, jobQuery: { query: 'chief' } } });
  assert.deepEqual(found.data.matchingJobs.map((m) => m.job.name), [job.name]);
  await clientEvents.create({
    parent: tenant.name,
    requestBody: { eventId: 'v4', requestId: found.data.metadata.requestId, createTime: now(), jobEvent: { type: 'IMPRESSION', jobs: [job.name] } },
  });
  await jobs.delete({ name: job.name });
  await assert.rejects(jobs.get({ name: job.name }), gone(404));
  await companies.delete({ name: company.name });
  await tenants.delete({ name: tenant.name });
}

async function lifeInGapic(version) {
  const open = (service) => gapic(url, version, service);
  const [tenantService, companies, jobs, events] = ['TenantService', 'CompanyService', 'JobService', 'EventService'].map(open);
  const { JobEventType } = talent.protos.google.cloud.talent[version].JobEvent;
  const [tenant] = await tenantService.createTenant({ parent: project, tenant: { externalId: `node ${version}` } });
  const [company] = await companies.createCompany({ parent: tenant.name, company: { externalId: 'acme', displayName: 'Acme' } });
  const [job] = await jobs.createJob({ parent: tenant.name, job: posting({ company: company.name }) });
  assert.equal((await jobs.getJob({ name: job.name }))[0].title, 'Plumber');
  const [masked] = await jobs.updateJob({ job: { name: job.name, title: 'Master' }, updateMask: { paths: ['title'] } });
  assert.deepEqual([masked.title, masked.description], ['Master', 'Repairs pipes']);
  const [whole] = await jobs.updateJob({ job: posting({ company: company.name }, { name: job.name, title: 'Chief' }) });
  assert.equal(whole.title, 'Chief');
  const [listed] = await jobs.listJobs({ parent: tenant.name, filter: `companyName = "${company.name}"` });
  assert.deepEqual(listed.map((j) => j.name), [job.name]);
  const [found] = await jobs.searchJobs({ parent: tenant.name, requestMetadata: metadata, jobQuery: { query: 'chief' } });
  assert.deepEqual(found.matchingJobs.map((m) => m.job.name), [job.name]);
  await events.createClientEvent({
    parent: tenant.name,
    clientEvent: {
      eventId: `gapic ${version}`, requestId: found.metadata.requestId, createTime: { seconds: Math.floor(Date.now() / 1000) },
      jobEvent: { type: JobEventType.IMPRESSION, jobs: [job.name] },
    },
  });
  await jobs.deleteJob({ name: job.name });
  await assert.rejects(jobs.getJob({ name: job.name }), gone(404));
  await companies.deleteCompany({ name: company.name });
  await tenantService.deleteTenant({ name: tenant.name });
  await Promise.all([tenantService, companies, jobs, events].map((client) => client.close()));
}

const lives = {
  'googleapis v3': lifeInV3,
  'googleapis v4': lifeInV4,
  '@google-cloud/talent v4': () => lifeInGapic('v4'),
  '@google-cloud/talent v4beta1': () => lifeInGapic('v4beta1'),
};
for (const [name, live] of Object.entries(lives)) {
  await live();
  console.log(`${name}: created, got, patched, listed, searched, deleted`);
}
