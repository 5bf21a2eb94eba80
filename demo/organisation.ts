/** Who is who in the demo's world. The tenant folders say what they may do. */
export const TENANTS = ['acme', 'globex'];
export const PEOPLE: Record<string, string[]> = {
  alice: ['treasury'],
  bob: ['operations'],
  carol: ['legal'],
  dora: ['security'],
  erin: ['internal-audit'],
};
/** Who signs in beside them: a user of the other tenant. */
export const OTHERS = ['gina'];
export const AGENTS = [
  { id: 'procurement-agent', bearer: false },
  { id: 'risk-analyst', bearer: false },
  { id: 'report-writer', bearer: false },
  { id: 'translator', bearer: false },
  { id: 'curl-agent', bearer: true },
];
export const APP = { id: 'procurement-app', redirectUri: 'http://127.0.0.1:7499/signed-in' };
