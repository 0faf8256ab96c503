// An OpenID Connect provider for tests; tests/servers/oidc.py says what it offers and passes the settings.
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(process.argv[2]);
const { default: Provider } = await import(pathToFileURL(settings.package).href);

const provider = new Provider(settings.issuer, {
  clients: [{
    ...settings.client,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    post_logout_redirect_uris: settings.client.redirect_uris.map((uri) => new URL('/', uri).href),
  }],
  findAccount: (_, sub) => settings.accounts[sub] && ({
    accountId: sub,
    claims: () => ({ sub, email_verified: true, preferred_username: sub, ...settings.accounts[sub] }),
  }),
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username'],
    groups: ['groups'],
  },
  // Claims in the ID token too, as most providers have them.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  cookies: { keys: ['of a server that lives as long as the test run'] },
});

provider.listen(settings.port, '127.0.0.1');
