-- What every shard of a database has beside its tables: ids with the time, the sequence and the shard in them. One sequence a shard
-- and no foreign keys, unlike Builder's own: nobody who only reads sees the difference, and the sandbox is there in half the time.
CREATE FUNCTION pg_temp.shard(number int) RETURNS text LANGUAGE plpgsql AS $shard$
DECLARE
  name text := 'shard_' || number;
BEGIN
  EXECUTE format('CREATE SCHEMA %I', name);
  PERFORM set_config('search_path', name, true);
  CREATE SEQUENCE id_seq;
  EXECUTE format($next_id$
    CREATE FUNCTION next_id_v1(sequence regclass, OUT result bigint) LANGUAGE sql VOLATILE AS $body$
      SELECT ((extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1409266191000 << 23)
        | (nextval(sequence) %% 1024 << 13) | %s
    $body$
  $next_id$, number);
  RETURN name;
END
$shard$;
