-- payment_history and outbox in partitions, for a large shop on PostgreSQL: no confirm reads them, they hold most of the rows,
-- and the oldest months can be detached and kept elsewhere (then `payonce audit` wants retention.history_days and
-- retention.outbox_days, which say how far back it may look). Once, by hand, while no node runs and all tables are there:
--   payonce migrate && psql -1 "$PAYONCE_DATABASE__URL" -v ON_ERROR_STOP=1 -f config/partitions.sql
-- Order ids grow with time: their first twelve digits are milliseconds. What is there until the end of this month becomes
-- the first partition; the next two months get one each, and whatever nobody has made a partition for goes into a last one.
-- The months after those, from time to time: CREATE TABLE payment_history_2027_03 PARTITION OF payment_history
--   FOR VALUES FROM (first_order_of('2027-03-01')) TO (first_order_of('2027-04-01')); and the same for the outbox.

CREATE FUNCTION first_order_of(day timestamptz) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT regexp_replace(lpad(to_hex((extract(epoch FROM day) * 1000)::bigint), 12, '0'), '^(.{8})', '\1-')
$$;

SELECT date_trunc('month', now()) + interval '1 month' AS next, date_trunc('month', now()) + interval '2 months' AS then,
       date_trunc('month', now()) + interval '3 months' AS last \gset

-- A unique key of a partitioned table has the order in it. A transition is of one order, so this is still once and for all.
ALTER TABLE payment_history RENAME TO payment_history_0;
CREATE TABLE payment_history (
    LIKE payment_history_0, PRIMARY KEY (order_id, version), UNIQUE (transition_id, order_id)
) PARTITION BY RANGE (order_id);
ALTER TABLE payment_history ATTACH PARTITION payment_history_0 FOR VALUES FROM (MINVALUE) TO (first_order_of(:'next'));
CREATE TABLE payment_history_1 PARTITION OF payment_history
    FOR VALUES FROM (first_order_of(:'next')) TO (first_order_of(:'then'));
CREATE TABLE payment_history_2 PARTITION OF payment_history
    FOR VALUES FROM (first_order_of(:'then')) TO (first_order_of(:'last'));
CREATE TABLE payment_history_rest PARTITION OF payment_history DEFAULT;

ALTER TABLE outbox RENAME TO outbox_0;
ALTER TABLE outbox_0 ALTER COLUMN id DROP IDENTITY, DROP CONSTRAINT outbox_pkey;
CREATE SEQUENCE outbox_ids;
SELECT setval('outbox_ids', coalesce(max(id), 0) + 1) FROM outbox_0;
CREATE TABLE outbox (
    LIKE outbox_0, PRIMARY KEY (id, order_id), UNIQUE (order_id, version)
) PARTITION BY RANGE (order_id);
ALTER TABLE outbox ALTER COLUMN id SET DEFAULT nextval('outbox_ids');
ALTER TABLE outbox ATTACH PARTITION outbox_0 FOR VALUES FROM (MINVALUE) TO (first_order_of(:'next'));
CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES FROM (first_order_of(:'next')) TO (first_order_of(:'then'));
CREATE TABLE outbox_2 PARTITION OF outbox FOR VALUES FROM (first_order_of(:'then')) TO (first_order_of(:'last'));
CREATE TABLE outbox_rest PARTITION OF outbox DEFAULT;
