/** The one name that everything has, inside the containers' networks and outside. */
export const COMPOSE_HOST = 'remit.localhost';

/** What `edge` of docker-compose.yml listens on; a test compares the two. */
export const PORTS = {
  issuer: 7401,
  pdp: 7402,
  revocation: 7403,
  audit: 7404,
  registry: 7405,
  idp: 7411,
  erp: 7412,
  'erp-2': 7413,
  nats: 7422,
  postgres: 7432,
} as const;
