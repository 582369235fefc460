// The clients that the other files here use, as Google ships them.
import { google } from 'googleapis';
import talent from '@google-cloud/talent';
import { PassThroughClient } from 'google-auth-library';

// discovery is the client that googleapis generates from a discovery document.
export function discovery(url, version) {
  return google.jobs({ version, rootUrl: url.endsWith('/') ? url : `${url}/` });
}

// gapic is a client of @google-cloud/talent, over REST.
export function gapic(url, version, service) {
  const { hostname, port } = new URL(url);
  return new talent[version][`${service}Client`]({
    apiEndpoint: hostname,
    port: Number(port),
    protocol: 'http',
    fallback: true,
    authClient: new PassThroughClient(),
  });
}
