//! A COMMIT is lost on its way to the server, or the server's answer to it: the house cannot know which, and must not guess.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::TestDatabase;
use crate::crowd::{self, Crowd};
use crate::trouble::*;
use crate::wire::{Loss, Wire};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn commits_whose_answers_are_lost_are_found_again_and_nobody_pays_twice() {
    under_load(Loss::Answer).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: PAYONCE_TEST_DATABASE=postgres://... or mysql://..."]
async fn commits_that_never_arrive_are_made_again_and_nobody_pays_twice() {
    under_load(Loss::Commit).await;
}

/// Checkouts, journals before and after each call, heartbeats: whoever comes to lose a COMMIT.
async fn under_load(loss: Loss) {
    const LOST: usize = 30;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(TestDatabase::new(&folder.path().join("no file")));
    assert!(
        store.is_shared(),
        "PAYONCE_TEST_DATABASE must name a server"
    );
    let wire = Wire::to(&store.url, loss).await;
    let house = plan().on(&store).env("DATABASE__URL", &wire.url).start();
    house.put_product(1, 50_000, 100_000).await;
    house.faults(json!([crowd::some_declined()])).await;

    let crowd = Crowd::ready_with(&house, 20).await;
    let trouble = async {
        crowd.is_served().await;
        wire.breaks();
        let until = Instant::now() + 3 * SETTLED;
        while wire.lost() < LOST {
            assert!(Instant::now() < until, "only {} are lost", wire.lost());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        wire.heals();
        soon_green(&house).seen().await;
        crowd.is_served().await;
        crowd.goes_home();
    };
    let (heard, ()) = tokio::join!(crowd.comes(&house), trouble);
    house.heal().await;
    crowd::heard_the_truth(&house, heard).await;
    assert_calm(&house);
}
