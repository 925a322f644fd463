//! A newer version is rolled out: it changes the schema under the nodes of the older one.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::cluster::{Cluster, Turns};
use crate::common::{Other, Process};
use crate::orders;

/// What the next version might bring: to the tables that every confirm reads, writes and locks, and to that of the hearts.
const STEP: [&str; 5] = [
    "ALTER TABLE payments ADD COLUMN note VARCHAR(40)",
    "ALTER TABLE attempts ADD COLUMN note VARCHAR(40) DEFAULT 'none' NOT NULL",
    "ALTER TABLE nodes ADD COLUMN note BOOLEAN DEFAULT false NOT NULL",
    "CREATE INDEX payments_by_note ON payments (note, order_id)",
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_of_the_next_version', 1)",
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn an_older_node_goes_on_serving_when_the_schema_is_ahead_of_it_but_does_not_start_again() {
    let mut cluster = Cluster::of(2, &[]).await;
    let wave = cluster.wave(orders(240)).await;
    let slow = json!([{"on": "confirm", "do": {"kind": "delay", "millis": 200}}]);
    cluster.first().faults(slow).await;
    let (doorman, turns) = Turns::every(Duration::from_millis(150));
    let buyers = cluster.buyers(&wave, &turns);
    let newer = Other::of(cluster.first()).await;
    for sql in STEP {
        cluster.wait_for_unfinished(2).await;
        newer.say(sql).await;
    }
    let shopping = buyers.iter().filter(|buyer| !buyer.is_finished());
    assert!(shopping.count() > 10, "the load ended before the step");
    cluster.first().heal().await;
    drop(doorman);
    cluster.all_paid_once(buyers, &wave).await;

    cluster.leaves(1);
    let older = cluster.nodes[1].environment();
    let refused = Process::try_start(&["serve"], older).err();
    let why = refused.expect("it does not start");
    for word in ["newer payonce", "m9999_of_the_next_version"] {
        assert!(why.contains(word), "{why}");
    }
    // The other one serves whoever comes, from the checkout on.
    let (order, key) = cluster.first().authorized().await;
    let paid = cluster.confirm(0, &(order, key)).await;
    assert_eq!(paid.status, StatusCode::OK, "{paid:?}");
    cluster.first().audit();
}
