// npm fhir-kit-client and jose as a SMART backend client. Run by kit.sh; prints one JSON line.
import fs from 'node:fs';
import { randomUUID } from 'node:crypto';
import { Client } from 'fhir-kit-client';
import { importJWK, SignJWT } from 'jose';

const { FHIR_BASE, ISSUER, CLIENT_ID, KEY, PATIENT, CATEGORY, COUNT, SCOPE } = process.env;
const seen = { client: 'fhir-kit-client' };

function expect(condition, what) {
  if (!condition) throw new Error(what);
}

async function token(endpoint) {
  const key = JSON.parse(fs.readFileSync(KEY, 'utf8')).keys[0];
  const assertion = await new SignJWT()
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT' })
    .setIssuer(CLIENT_ID)
    .setSubject(CLIENT_ID)
    .setAudience(endpoint)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime('4m')
    .sign(await importJWK(key, key.alg));
  const answer = await fetch(endpoint, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope: SCOPE,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }),
  });
  const body = await answer.json();
  expect(answer.ok && body.access_token, `token endpoint: ${answer.status} ${JSON.stringify(body)}`);
  return body;
}

const matches = (bundle) => (bundle.entry ?? []).filter((entry) => entry.search?.mode !== 'outcome').length;

async function everyPage(fhir, name, search) {
  let bundle = await fhir.search(search);
  Object.assign(seen, { [`${name}_pages`]: 0, [`${name}_entries`]: 0 });
  while (bundle) {
    expect(bundle.resourceType === 'Bundle' && bundle.type === 'searchset', `${name}: not a searchset`);
    seen[`${name}_pages`] += 1;
    seen[`${name}_entries`] += matches(bundle);
    bundle = bundle.link?.some(({ relation }) => relation === 'next') ? await fhir.nextPage({ bundle }) : undefined;
  }
}

async function main() {
  const fhir = new Client({ baseUrl: FHIR_BASE });
  const statement = await fhir.capabilityStatement();
  expect(statement.fhirVersion === '4.0.1', '/metadata is not of R4');
  seen.metadata_types = statement.rest[0].resource.length;

  const endpoint = (await fhir.smartAuthMetadata()).tokenUrl?.href;
  expect(endpoint?.startsWith(ISSUER), `discovery: token endpoint ${endpoint} is not of ${ISSUER}`);
  seen.discovery = 1;

  const granted = await token(endpoint);
  seen.scope = granted.scope;
  fhir.bearerToken = granted.access_token;

  const patient = await fhir.read({ resourceType: 'Patient', id: PATIENT });
  expect(patient.id === PATIENT, 'another patient was read');
  seen.patient_read = 1;

  await everyPage(fhir, 'observation', {
    resourceType: 'Observation',
    searchParams: { patient: PATIENT, category: CATEGORY, _count: COUNT },
  });
  await everyPage(fhir, 'condition', { resourceType: 'Condition', searchParams: { patient: PATIENT } });
  await everyPage(fhir, 'post_search', {
    resourceType: 'Observation',
    searchParams: { patient: `Patient/${PATIENT}`, category: CATEGORY },
    options: { postSearch: true },
  });
}

try {
  await main();
  console.log(JSON.stringify({ ...seen, ok: true }));
} catch (error) {
  const status = error.response?.status;
  console.log(JSON.stringify({ ...seen, ok: false, status, error: String(error.message), body: error.response?.data }));
  process.exit(1);
}
