//! A real server is killed and comes back.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::common::{Reply, TestDatabase};
use crate::crowd::{self, Crowd};
use crate::server::Server;
use crate::trouble::*;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn a_server_that_is_killed_under_load_loses_nothing_and_nobody_hears_what_is_not_true() {
    let mut server = Server::start().await;
    let store = Arc::new(TestDatabase::on_own_server(&server.url));
    let house = plan().on(&store).start();
    house.put_product(1, 50_000, 100_000).await;
    let (waiting, key) = house.authorized().await;
    let (flying, caller) = in_flight(&house, WHILE).await;
    let slow = json!({"kind": "delay", "millis": WHILE.as_millis() as u64});
    let slow = json!({"on": "confirm", "orderId": flying.id, "do": slow});
    house.faults(json!([slow, crowd::some_declined()])).await;

    let crowd = Crowd::ready_with(&house, 60).await;
    let trouble = async {
        crowd.is_served().await;
        server.kill_9();
        let red = ["database", "journal"].map(|part| soon_red(&house, part));
        nothing_is_taken(&house, &waiting, &key).await;
        for red in red {
            red.seen().await;
        }
        let path = format!("/api/v1/payments/{}", flying.id);
        let unread: Reply = house.send(house.request(Method::GET, &path)).await;
        assert!(is_later(&unread), "{unread:?}");
        until_approved(&house, &flying).await;
        crowd.is_put_off().await;
        // Longer than every patience and timeout of the house.
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.start_again().await;
        soon_green(&house).seen().await;
        crowd.is_served().await;
        crowd.goes_home();
    };
    let (heard, ()) = tokio::join!(crowd.comes(&house), trouble);
    let pending = caller.await.unwrap();
    assert!(is_later(&pending), "{pending:?}");
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(house.approvals(&flying).await, 1);
    house.heal().await;
    assert_eq!(hears_at_last(&house, &waiting, &key).await, 200);
    crowd::heard_the_truth(&house, heard).await;
    assert_calm(&house);
}
