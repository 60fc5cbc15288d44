// node stub.mjs : stands in for the gateway when the clients themselves are tested. Checks the token, then passes the
// request on to the record system as it came; no filter. Run by selftest.sh.
import fs from 'node:fs';
import https from 'node:https';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { STUB_PORT, STUB_TLS, ISSUER, UPSTREAM } = process.env;
const origin = `https://127.0.0.1:${STUB_PORT}`;
const keys = createRemoteJWKSet(new URL(`${ISSUER}/jwks`));
const smart = {
  issuer: ISSUER,
  jwks_uri: `${ISSUER}/jwks`,
  token_endpoint: `${ISSUER}/token`,
  grant_types_supported: ['client_credentials'],
  token_endpoint_auth_methods_supported: ['private_key_jwt'],
  token_endpoint_auth_signing_alg_values_supported: ['RS384', 'ES384'],
  code_challenge_methods_supported: ['S256'],
  capabilities: ['client-confidential-asymmetric', 'permission-v2'],
};
const oauthUris = {
  url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
  extension: [{ url: 'token', valueUri: smart.token_endpoint }],
};

async function ask(request, path, body) {
  const { host, connection, 'content-length': length, 'transfer-encoding': coding, authorization, ...headers } = request.headers;
  const answer = await fetch(UPSTREAM + path, { method: request.method, headers, body });
  const text = (await answer.text()).replaceAll(new URL(UPSTREAM).origin, origin);
  return { status: answer.status, type: answer.headers.get('content-type'), text };
}

async function answer(request) {
  const path = request.url.replace(/^\/fhir/, '');
  if (path === '/.well-known/smart-configuration') {
    return { status: 200, type: 'application/json', text: JSON.stringify(smart) };
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = chunks.length ? Buffer.concat(chunks) : undefined;
  if (path.startsWith('/metadata')) {
    request.headers.accept = 'application/fhir+json';
    const given = await ask(request, path);
    const statement = JSON.parse(given.text);
    statement.rest[0].security = { extension: [oauthUris] };
    return { ...given, text: JSON.stringify(statement) };
  }
  const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  try {
    await jwtVerify(token, keys, { issuer: ISSUER, audience: `${origin}/fhir`, typ: 'at+jwt', requiredClaims: ['client_id', 'scope'] });
  } catch (error) {
    const outcome = { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'login', diagnostics: error.message }] };
    return { status: 401, type: 'application/fhir+json', text: JSON.stringify(outcome) };
  }
  return ask(request, path, body);
}

https
  .createServer({ cert: fs.readFileSync(`${STUB_TLS}/server.pem`), key: fs.readFileSync(`${STUB_TLS}/server.key`) }, async (request, response) => {
    const { status, type, text } = await answer(request).catch((error) => ({ status: 500, type: 'text/plain', text: error.stack }));
    console.log(request.method, request.url, status, request.headers.accept ?? '');
    response.writeHead(status, { 'content-type': type }).end(text);
  })
  .listen(Number(STUB_PORT), '127.0.0.1');
