/* uuid-ossp 1.1: the functions of contrib/uuid-ossp without the OSSP library, for an installation whose uuid-ossp.so cannot be loaded. */

\echo Use '''CREATE EXTENSION "uuid-ossp"''' to load this file. \quit

CREATE FUNCTION uuid_nil() RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN '00000000-0000-0000-0000-000000000000'::uuid;

/* The name spaces of RFC 9562, section 6.6. */

CREATE FUNCTION uuid_ns_dns() RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_url() RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_oid() RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN '6ba7b812-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_ns_x500() RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN '6ba7b814-9dad-11d1-80b4-00c04fd430c8'::uuid;

CREATE FUNCTION uuid_generate_v4() RETURNS uuid VOLATILE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN pg_catalog.gen_random_uuid();

/* The digest of pgcrypto, bound once more: SHA-1 is not in the server itself, and pgcrypto may not be there or be in any schema. */
CREATE FUNCTION uuid_ossp_digest(data bytea, algorithm text) RETURNS bytea
AS '$libdir/pgcrypto', 'pg_digest' IMMUTABLE STRICT LANGUAGE C PARALLEL SAFE;

/* Versions 3 and 5: the digest of name space and name; its first sixteen bytes, with version and variant set. */
CREATE FUNCTION uuid_ossp_named(digest bytea, version integer) RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN pg_catalog.encode(
  pg_catalog.set_byte(
    pg_catalog.set_byte(pg_catalog.substr(digest, 1, 16), 6, (pg_catalog.get_byte(digest, 6) & 15) | (version << 4)),
    8, (pg_catalog.get_byte(digest, 8) & 63) | 128), 'hex')::uuid;

CREATE FUNCTION uuid_generate_v3(namespace uuid, name text) RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN uuid_ossp_named(
  pg_catalog.decode(pg_catalog.md5(pg_catalog.uuid_send(namespace) || pg_catalog.convert_to(name, pg_catalog.getdatabaseencoding())), 'hex'), 3);

CREATE FUNCTION uuid_generate_v5(namespace uuid, name text) RETURNS uuid IMMUTABLE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN uuid_ossp_named(
  uuid_ossp_digest(pg_catalog.uuid_send(namespace) || pg_catalog.convert_to(name, pg_catalog.getdatabaseencoding()), 'sha1'), 5);

/* Version 1: the time in units of 100 ns since 1582-10-15, fourteen random bits as clock sequence, and a node. The server's clock has
   microseconds; the last digit is random. */
CREATE FUNCTION uuid_ossp_timed(node bytea) RETURNS uuid VOLATILE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN (
  SELECT (pg_catalog.substr(stamp, 9, 8) || pg_catalog.substr(stamp, 5, 4) || '1' || pg_catalog.substr(stamp, 2, 3)
      || pg_catalog.encode(pg_catalog.set_byte(pg_catalog.substr(random, 1, 2), 0, (pg_catalog.get_byte(random, 0) & 63) | 128), 'hex')
      || pg_catalog.encode(node, 'hex'))::uuid
  FROM (
    SELECT pg_catalog.lpad(pg_catalog.to_hex((
          extract(epoch FROM pg_catalog.clock_timestamp()) * 10000000::numeric + 122192928000000000::numeric
          + (pg_catalog.get_byte(bytes, 2) % 10)::numeric)::bigint),
        16, '0') AS stamp, bytes AS random
    FROM (SELECT pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) AS bytes) AS drawn
  ) AS parts
);

/* A node of 47 bits that no other session has; its multicast bit tells it from the address of a network card (RFC 9562, section 6.10). */
CREATE FUNCTION uuid_generate_v1() RETURNS uuid VOLATILE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN (
  SELECT uuid_ossp_timed(pg_catalog.set_byte(pg_catalog.substr(hash, 1, 6), 0, pg_catalog.get_byte(hash, 0) | 1))
  FROM (
    SELECT pg_catalog.decode(pg_catalog.md5(
      pg_catalog.pg_postmaster_start_time()::text || pg_catalog.pg_backend_pid()::text || system_identifier::text), 'hex') AS hash
    FROM pg_catalog.pg_control_system()
  ) AS session
);

CREATE FUNCTION uuid_generate_v1mc() RETURNS uuid VOLATILE STRICT LANGUAGE SQL PARALLEL SAFE
RETURN (
  SELECT uuid_ossp_timed(pg_catalog.set_byte(pg_catalog.substr(random, 1, 6), 0, pg_catalog.get_byte(random, 0) | 1))
  FROM (SELECT pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) AS random) AS drawn
);
