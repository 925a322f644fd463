-- One confirm of a random order for one of :products products.
\set number random(1, 200000)
\set product random(1, :products)
BEGIN;
UPDATE bench_payments SET status = 'IN_PROGRESS', version = version + 1 WHERE number = :number;
UPDATE bench_products SET stock = stock - 1 WHERE id = :product;
INSERT INTO bench_history SELECT order_id, version, 'IN_PROGRESS', 0 FROM bench_payments WHERE number = :number;
COMMIT;
BEGIN;
UPDATE bench_payments SET status = 'DONE', version = version + 1 WHERE number = :number;
INSERT INTO bench_history SELECT order_id, version, 'DONE', 0 FROM bench_payments WHERE number = :number;
COMMIT;
