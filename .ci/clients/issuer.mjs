// node issuer.mjs : an authorization server apart from the gateway (npm oidc-provider), for clients that sign assertions.
//
// ISSUER_PORT     port on 127.0.0.1; the issuer is http://127.0.0.1:PORT, its keys are at /jwks
// ISSUER_DIR      server.jwks (signing keys) and CLIENT.jwks (a client's private key) are kept here, made when absent
// ISSUER_CLIENTS  "id:RS384 id:ES384"; a client's access tokens are signed with the same algorithm as its assertions
// GATEWAY_AUD     audience of the access tokens: the FHIR base that clients use
// ISSUER_TTL      life of an access token in seconds
// ISSUER_CLAIMS   JSON object of further claims
import fs from 'node:fs';
import path from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const { ISSUER_PORT, ISSUER_DIR, ISSUER_CLIENTS, GATEWAY_AUD, ISSUER_TTL = '300', ISSUER_CLAIMS } = process.env;
const claims = JSON.parse(ISSUER_CLAIMS || JSON.stringify({
  purpose_of_use: ['urn:oid:2.16.840.1.113883.5.8#HPAYMT'],
  organization_id: 'urn:oid:2.16.840.1.113883.4.4|99-0000001',
}));

// Reading only; everything else that a request asks for is left out of the grant.
const READ_SCOPE = /^system\/(\*|[A-Z][A-Za-z]+)\.(rs|r|s|read)(\?\S+)?$/;

async function keys(name, wanted) {
  const file = path.join(ISSUER_DIR, `${name}.jwks`);
  if (!fs.existsSync(file)) {
    const made = wanted.map(async (alg) => {
      const { privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 3072 });
      return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${name}-${alg.toLowerCase()}`, key_ops: ['sign'] };
    });
    fs.writeFileSync(file, JSON.stringify({ keys: await Promise.all(made) }, null, 1), { mode: 0o600 });
  }
  return JSON.parse(fs.readFileSync(file, 'utf8')).keys;
}

const publicPart = ({ kty, alg, use, kid, n, e, crv, x, y }) => ({ kty, alg, use, kid, n, e, crv, x, y });

async function client(entry) {
  const [client_id, alg] = entry.split(':');
  return {
    client_id,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg,
    jwks: { keys: (await keys(client_id, [alg])).map(publicPart) },
  };
}

const provider = new Provider(`http://127.0.0.1:${ISSUER_PORT}`, {
  clients: await Promise.all(ISSUER_CLIENTS.split(/\s+/).filter(Boolean).map(client)),
  jwks: { keys: (await keys('server', ['RS384', 'ES384', 'RS256'])).map(({ key_ops, ...key }) => key) },
  enabledJWA: {
    clientAuthSigningAlgValues: ['RS384', 'ES384'],
    idTokenSigningAlgValues: ['RS256'],
  },
  extraTokenClaims: () => claims,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => GATEWAY_AUD,
      getResourceServerInfo: (ctx, resource, { clientId, tokenEndpointAuthSigningAlg }) => ({
        audience: GATEWAY_AUD,
        scope: (ctx.oidc.params.scope ?? '').split(' ').filter((scope) => READ_SCOPE.test(scope)).join(' '),
        accessTokenFormat: 'jwt',
        accessTokenTTL: Number(ISSUER_TTL),
        jwt: { sign: { alg: tokenEndpointAuthSigningAlg } },
      }),
    },
  },
});
provider.on('grant.error', (ctx, error) => console.log('refused:', error.error, error.error_description, error.error_detail ?? ''));
provider.listen(Number(ISSUER_PORT), '127.0.0.1', () => console.log('listening'));
