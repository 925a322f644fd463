-- payment_history and outbox in partitions of a month, for a large shop on PostgreSQL: they hold most of the rows, no confirm
-- that goes well reads them, and the oldest months can be detached and kept elsewhere. `payonce audit` must then be told how far
-- back it may look, by retention.history_days and retention.outbox_days in its own environment (less far than to
-- the end of the last such month, by as long as its youngest orders took to settle): a server that is told so deletes
-- what is older, months that are still attached among it. Once, by hand, while no node runs:
--   payonce migrate && psql -1 "$PAYONCE_DATABASE__URL" -v ON_ERROR_STOP=1 -f config/partitions.sql
-- Order ids grow with time: their first twelve digits are milliseconds. What is there until the end of this month is the
-- first partition; the next 24 months get one each. Further ones before the last of them begins, and not during an audit:
--   SET lock_timeout = '1s'; SELECT partition_month('2029-01-01');
-- An order of a month that nobody has made goes into .._rest, so that no payment fails for it. Its month can then be made
-- only when .._rest is detached; put its rows back into the table afterwards.

CREATE FUNCTION first_order_of(month date) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT regexp_replace(
        lpad(to_hex((extract(epoch FROM month::timestamp AT TIME ZONE 'Asia/Seoul') * 1000)::bigint), 12, '0'),
        '^(.{8})', '\1-')
$$;

CREATE FUNCTION partition_month(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['payment_history', 'outbox'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            name || to_char(month, '_YYYY_MM'), name,
            first_order_of(month), first_order_of((month + interval '1 month')::date));
    END LOOP;
END $$;

-- A unique key of a partitioned table has the order in it. A transition is of one order, so this is still once and for all.
ALTER TABLE payment_history RENAME TO payment_history_0;
CREATE TABLE payment_history (
    LIKE payment_history_0, PRIMARY KEY (order_id, version), UNIQUE (transition_id, order_id)
) PARTITION BY RANGE (order_id);
CREATE TABLE payment_history_rest PARTITION OF payment_history DEFAULT;

ALTER TABLE outbox RENAME TO outbox_0;
ALTER TABLE outbox_0 ALTER COLUMN id DROP IDENTITY, DROP CONSTRAINT outbox_pkey;
CREATE SEQUENCE outbox_ids;
SELECT setval('outbox_ids', coalesce(max(id), 0) + 1) FROM outbox_0;
CREATE TABLE outbox (
    LIKE outbox_0, PRIMARY KEY (id, order_id), UNIQUE (order_id, version)
) PARTITION BY RANGE (order_id);
ALTER TABLE outbox ALTER COLUMN id SET DEFAULT nextval('outbox_ids');
CREATE TABLE outbox_rest PARTITION OF outbox DEFAULT;

DO $$
DECLARE month date := date_trunc('month', now() AT TIME ZONE 'Asia/Seoul') + interval '1 month';
BEGIN
    EXECUTE format('ALTER TABLE payment_history ATTACH PARTITION payment_history_0 FOR VALUES FROM (MINVALUE) TO (%L)',
        first_order_of(month));
    EXECUTE format('ALTER TABLE outbox ATTACH PARTITION outbox_0 FOR VALUES FROM (MINVALUE) TO (%L)', first_order_of(month));
    FOR n IN 0..23 LOOP
        PERFORM partition_month((month + n * interval '1 month')::date);
    END LOOP;
END $$;
