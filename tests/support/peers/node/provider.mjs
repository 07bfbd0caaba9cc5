// The certified OpenID provider `oidc-provider`. Its only argument: a file of settings, JSON.
import { generateKeyPairSync } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const { accessTokenSeconds, audience, issuer, log, refreshTokenSeconds, rotate } = settings;

// All providers of a test run share the key: the Apache that checks their tokens knows one.
if (!fs.existsSync(settings.keys)) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'peer' };
  fs.writeFileSync(settings.keys, JSON.stringify({ keys: [key] }), { mode: 0o600 });
}

const provider = new Provider(issuer, {
  jwks: JSON.parse(fs.readFileSync(settings.keys, 'utf8')),
  cookies: { keys: ['only-for-tests'] },
  clients: settings.clients,
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'profile'],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, preferred_username: id }),
  }),
  rotateRefreshToken: rotate,
  issueRefreshToken: (ctx, client, code) =>
    client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  ttl: {
    AccessToken: accessTokenSeconds,
    AuthorizationCode: 60,
    ClientCredentials: accessTokenSeconds,
    DeviceCode: 60,
    Grant: 3600,
    IdToken: 300,
    Interaction: 300,
    RefreshToken: refreshTokenSeconds,
    Session: 600,
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    // Makes access tokens JWTs that a resource server can check by itself.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'api:read',
        audience,
        accessTokenTTL: accessTokenSeconds,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

const note = (entry) => fs.appendFileSync(log, `${JSON.stringify(entry)}\n`);
// This comes back before the answer is sent: whoever has it finds the line.
provider.use(async (ctx, next) => {
  await next();
  const { method, path, status } = ctx;
  note({ method, path, status, grant: ctx.oidc?.params?.grant_type ?? '' });
});
provider.on('grant.revoked', () => note({ event: 'revoked' }));
provider.on('server_error', (ctx, error) => console.error(error));

const pair = { key: fs.readFileSync(settings.key), cert: fs.readFileSync(settings.chain) };
https.createServer(pair, provider.callback()).listen(settings.port, '127.0.0.1');
