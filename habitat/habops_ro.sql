-- The role that habops reads the datastore with. Run it in each of Builder's three databases, as their owner; again after an upgrade
-- that brings tables. Columns with secrets are left out: not even a mistake of habops can show them.
DO $$
DECLARE
  shard text;
  secret regclass;
  readable text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'habops_ro') THEN
    CREATE ROLE habops_ro LOGIN CONNECTION LIMIT 20;
    ALTER ROLE habops_ro SET default_transaction_read_only = on;
  END IF;
  FOR shard IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^shard_[0-9]+$' LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO habops_ro', shard);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO habops_ro', shard);
  END LOOP;
  FOR secret, readable IN
    SELECT c.oid, string_agg(quote_ident(a.attname), ', ')
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE n.nspname ~ '^shard_[0-9]+$' AND a.attnum > 0 AND NOT a.attisdropped
       AND c.relname IN ('account_tokens', 'jobs', 'origin_integrations', 'origin_private_encryption_keys',
                         'origin_project_integrations', 'origin_projects', 'origin_secret_keys')
       AND a.attname NOT IN ('token', 'body', 'vcs_auth_token', 'vcs_arguments')
     GROUP BY c.oid
  LOOP
    EXECUTE format('REVOKE SELECT ON %s FROM habops_ro', secret);
    EXECUTE format('GRANT SELECT (%s) ON %s TO habops_ro', readable, secret);
  END LOOP;
END $$;
