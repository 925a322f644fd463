//! The disk under a file is full.

use std::process::Command;

use rlimit::{INFINITY, Resource, prlimit};

use crate::common::{House, Process};
use crate::trouble::*;

/// A house whose files cannot grow when it is told so. A limit on file sizes works for every user, and SQLite meets it
/// where it meets a broken disk: while it writes the frames of a commit, so that the answer to the commit is lost.
struct Disk {
    house: House,
}

impl Disk {
    fn new() -> Disk {
        let mut house = plan().in_file().start();
        house.server.kill_9();
        let mut disk = Disk { house };
        disk.start();
        disk
    }

    /// The signal that goes with the limit would end the process: a full disk sends none.
    fn start(&mut self) {
        let mut shell = Command::new("sh");
        // It is for the tests, and no setting.
        shell
            .env_remove("PAYONCE_TEST_DATABASE")
            .args(["-c", "trap '' XFSZ && exec \"$0\" serve"])
            .arg(env!("CARGO_BIN_EXE_payonce"))
            .envs(self.house.environment().iter().cloned());
        self.house.server = Process::try_command(shell).expect("it serves");
    }

    fn limit(&self, bytes: u64) {
        let server = self.house.server.id().try_into().unwrap();
        prlimit(server, Resource::FSIZE, Some((bytes, INFINITY)), None).unwrap();
    }

    fn fill(&self) {
        self.limit(0);
    }

    fn clear(&self) {
        self.limit(INFINITY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_says_nothing_that_is_not_written() {
    let disk = Disk::new();
    let house = &disk.house;
    let (waiting, key) = house.authorized().await;
    let (flying, caller) = in_flight(house, WHILE).await;
    disk.fill();
    let red = soon_red(house, "journal");

    let pending = caller.await.unwrap();
    assert_eq!((pending.code(), pending.status.as_u16()), ("E03009", 503));
    for _ in 0..3 {
        for reply in [
            house.confirm(&waiting, &key).await,
            try_checkout(house).await,
        ] {
            assert!(is_later(&reply), "{reply:?}");
        }
    }
    // It may have landed, and cannot be made impossible now: look at the product before trying again.
    let doubtful = try_restock(house, 5).await;
    assert_eq!(doubtful.code(), "E03009", "{doubtful:?}");
    let look = &doubtful.body["error"]["statusUrl"];
    assert_eq!(look, "/api/v1/products/1");
    until_approved(house, &flying).await;
    red.seen().await;
    assert_eq!(house.counted(&waiting, "confirmCalls").await, 0);
    assert_eq!(house.status(&flying).await["status"], "IN_PROGRESS");

    disk.clear();
    soon_green(house).seen().await;
    house.wait_for(&flying, &["DONE"], SETTLED).await;
    assert_eq!(hears_at_last(house, &waiting, &key).await, 200);
    assert_eq!(house.approvals(&waiting).await, 1);
    assert_eq!(house.shelf(1).await, (57, 0, 2, 59));
    assert_eq!(try_restock(house, 5).await.status, 200);
    assert_eq!(house.shelf(1).await, (62, 0, 2, 64));
    house.server.logged_with("the answer to a commit was lost");
    assert_calm(house);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_with_its_disk_full_is_settled_by_the_next() {
    let mut disk = Disk::new();
    let (order, caller) = in_flight(&disk.house, WHILE).await;
    disk.fill();
    let red = soon_red(&disk.house, "journal");
    let pending = caller.await.unwrap();
    assert_eq!(pending.status, 503, "{pending:?}");
    until_approved(&disk.house, &order).await;
    red.seen().await;
    disk.house.server.kill_9();
    disk.house.heal().await;
    disk.start();
    let house = &disk.house;
    house.wait_for(&order, &["DONE"], SETTLED).await;
    assert_eq!(house.approvals(&order).await, 1);
    assert_eq!(house.shelf(1).await, (58, 0, 1, 59));
    assert_calm(house);
}
